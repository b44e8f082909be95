from __future__ import annotations

from collections import deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from user_itr.objective.queue import EmbeddingQueue

WIDTH = 3


def batch(first: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Items first, first + 1, ...: each an embedding that tells its number, owned by its half."""
    numbers = torch.arange(first, first + count)
    return numbers.float().unsqueeze(1) + torch.tensor([0.0, 0.25, 0.5]), numbers // 2


def held(queue: EmbeddingQueue) -> list[int]:
    """Item numbers in the queue, oldest first, their owners and whole embeddings checked."""
    embeddings, owners = queue.contents()
    if len(embeddings) == queue.length:  # full: the pointer stands at the oldest
        order = (torch.arange(queue.length) + int(queue.pointer)) % max(1, queue.length)
        embeddings, owners = embeddings[order], owners[order]
    numbers = [int(e[0]) for e in embeddings]
    assert owners.tolist() == [n // 2 for n in numbers]
    assert embeddings.tolist() == [[n, n + 0.25, n + 0.5] for n in numbers]
    return numbers


@given(
    length=st.integers(0, 7),
    sizes=st.lists(st.integers(0, 16), max_size=8),
    reload_at=st.integers(0, 8),
)
@settings(max_examples=150, deadline=None)
def test_queue_follows_a_deque(length: int, sizes: list[int], reload_at: int) -> None:
    queue, model = EmbeddingQueue(length, WIDTH), deque[int](maxlen=length)
    number = 0
    for step, size in enumerate(sizes):
        if step == reload_at:
            state = {key: value.clone() for key, value in queue.state_dict().items()}
            queue = EmbeddingQueue(length, WIDTH)
            queue.load_state_dict(state)
        queue.enqueue(*batch(number, size))
        model.extend(range(number, number + size))
        number += size
        assert held(queue) == list(model)


@pytest.mark.parametrize(("length", "sizes"), [(5, [3, 3]), (4, [11]), (1, [2, 1]), (6, [4, 4, 4])])
def test_sizes_that_do_not_divide(length: int, sizes: list[int]) -> None:
    queue, number = EmbeddingQueue(length, WIDTH), 0
    for size in sizes:
        queue.enqueue(*batch(number, size))
        number += size
    assert held(queue) == list(range(number - length, number))


def test_a_partly_filled_queue_gives_its_filled_part_alone() -> None:
    queue = EmbeddingQueue(10, WIDTH)
    assert [len(part) for part in queue.contents()] == [0, 0]
    queue.enqueue(*batch(0, 4))
    embeddings, owners = queue.contents()
    assert embeddings.shape == (4, WIDTH)
    assert owners.tolist() == [0, 0, 1, 1]


def test_state_dict_holds_contents_owners_pointer_and_count() -> None:
    queue = EmbeddingQueue(5, WIDTH)
    queue.enqueue(*batch(0, 7))
    state = queue.state_dict()
    assert set(state) == {"embeddings", "owners", "pointer", "filled"}
    assert (int(state["pointer"]), int(state["filled"])) == (2, 5)
    other = EmbeddingQueue(5, WIDTH)
    other.load_state_dict(state)
    for q in (queue, other):
        q.enqueue(*batch(7, 2))
    assert held(other) == held(queue) == [4, 5, 6, 7, 8]


def test_no_queue_holds_nothing() -> None:
    queue = EmbeddingQueue(0, WIDTH)
    queue.enqueue(*batch(0, 3))
    assert [tuple(part.shape) for part in queue.contents()] == [(0, WIDTH), (0,)]


def test_half_precision_keys_are_stored_without_gradient() -> None:
    queue = EmbeddingQueue(2, WIDTH)
    keys = torch.full((1, WIDTH), 0.5, dtype=torch.bfloat16, requires_grad=True)
    queue.enqueue(keys, torch.tensor([8]))
    assert queue.contents()[0].dtype == torch.float32
    assert not queue.contents()[0].requires_grad


def test_negative_length_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0, got -1"):
        EmbeddingQueue(-1, WIDTH)
