from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from user_itr.training.prefetch import AHEAD, prefetched


def test_all_batches_come_in_order_and_prepared() -> None:
    assert list(prefetched(iter(range(50)), lambda n: n * n)) == [n * n for n in range(50)]
    assert list(prefetched(iter(()), str)) == []


def test_batches_are_made_ahead_and_no_further_than_said() -> None:
    made: list[int] = []
    seventh = threading.Event()

    def prepare(number: int) -> int:
        made.append(number)
        if number == 3 + AHEAD:
            seventh.set()
        return number

    batches = prefetched(iter(range(100)), prepare)
    assert [next(batches) for _ in range(4)] == [0, 1, 2, 3]
    assert seventh.wait(10)
    batches.close()
    assert made == list(range(4 + AHEAD))


def test_an_error_comes_where_its_batch_would_have_come() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no second batch")

    batches = prefetched(broken(), lambda n: n)
    assert next(batches) == 1
    with pytest.raises(ValueError, match="no second batch"):
        next(batches)


def test_closing_ends_the_thread() -> None:
    before = threading.active_count()
    batches = prefetched(iter(range(100)), lambda n: n)
    next(batches)
    assert threading.active_count() == before + 1
    batches.close()
    assert threading.active_count() == before
