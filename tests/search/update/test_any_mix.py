"""After one update each row is its file's, whatever happened to the files."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shuffled_photos import STEPS, NoiseEncoder, Shuffle, check

from user_itr.search import file_state
from user_itr.search.index import ImageIndex
from user_itr.search.update import encoding, leaving, placing


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    choices=st.integers(0, 2**32),
    photos=st.integers(4, 30),
    rounds=st.lists(st.lists(st.sampled_from(STEPS), max_size=4), min_size=1, max_size=3),
    chunk=st.sampled_from([1, 2, 7, 512]),
    fresh=st.booleans(),
)
def test_every_row_is_its_files(
    monkeypatch: pytest.MonkeyPatch,
    choices: int,
    photos: int,
    rounds: list[list[str]],
    chunk: int,
    fresh: bool,
) -> None:
    for module in (placing, encoding, leaving):
        monkeypatch.setattr(module, "CHUNK_ROWS", chunk)
    # Where nothing counts as fresh, states alone tell what changed, and the clock must go on.
    monkeypatch.setattr(file_state, "RACY_NS", 2_000_000_000 if fresh else 0)
    with tempfile.TemporaryDirectory() as place:
        shuffle = Shuffle(Path(place, "photos"), random.Random(choices), photos)
        encoder = NoiseEncoder()
        index = ImageIndex.create_or_open(Path(place, "index"), encoder, "model")
        known: set[str] = set()
        for steps in [[], *rounds]:
            for step in steps:
                shuffle.step(step)
            report = index.update(shuffle.root, encoder, batch_size=5)
            check(index, shuffle, report, known)
            known = set(shuffle.hashes().values())
            shuffle.tick()
