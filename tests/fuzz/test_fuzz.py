"""Every parser takes mutations of sound inputs, or says in an error of ours why it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from targets import Target, all_targets, attempt

TARGETS = all_targets()
CRASHES = Path(__file__).parent / "crashes"

TOKENS = [
    b"",
    b"\0",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\r\n",
    b'"',
    b"\\ud800",
    b"-1",
    b"1e999",
    b"NaN",
    b"null",
    b"[]",
    b"{}",
    b"true",
    b"9" * 30,
    b"9" * 5_000,
    b"[" * 2_000,
    b"../",
    b"\xe2\x80\xae",
    b"\x1b[2J",
    b"*a",
    b"!!python/name:os.system ",
]


@st.composite
def mutated(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with some places cut, overwritten, repeated or filled with what parsers fear."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 16)))
        piece = draw(st.sampled_from(TOKENS) | st.binary(max_size=6))
        repeated = data[start:stop] * draw(st.integers(0, 2))
        data = data[:start] + repeated + piece + data[stop:]
    return data


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_mutations(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    target = TARGETS[name]

    @settings(
        max_examples=60,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(target.seeds) | st.binary(max_size=64))
    def run(data: bytes) -> None:
        attempt(target, tmp_path_factory.mktemp("fuzz"), data)

    run()


EVIL = 2
"""Pickles among the seeds that would run something."""


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_the_seeds_are_sound(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    target = TARGETS[name]
    unsound = {"filters": 1, "yaml": 1, "published": EVIL}.get(name, 0)
    taken = [attempt(target, tmp_path_factory.mktemp("seed"), seed) for seed in target.seeds]
    assert taken == [True] * (len(taken) - unsound) + [False] * unsound


def found_crashes() -> list[tuple[str, Path]]:
    return [(path.parent.name, path) for path in sorted(CRASHES.glob("*/*")) if path.is_file()]


@pytest.mark.parametrize(
    ("name", "file"), found_crashes(), ids=[f"{name}-{file.name}" for name, file in found_crashes()]
)
def test_what_once_crashed(name: str, file: Path, tmp_path: Path) -> None:
    """Inputs that `benchmarks/fuzz.py` found, each in the folder of its target."""
    target: Target = TARGETS[name]
    attempt(target, tmp_path, file.read_bytes())
