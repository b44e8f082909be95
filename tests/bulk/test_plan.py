from __future__ import annotations

from pathlib import Path

import pytest
from collections_of_images import picture, samples, write_pictures, write_tar
from hypothesis import given, settings
from hypothesis import strategies as st

from user_itr.bulk.plan import Plan, absolute_sources, make_plan
from user_itr.data.webdataset import ArchiveMember
from user_itr.errors import CollectionError, DataError


def test_folders_then_their_tars_in_order(tmp_path: Path, sources: list[Path]) -> None:
    counted: list[int] = []
    make_plan(tmp_path / "plan", sources, 8, counted.append)
    assert counted == [27]
    plan = Plan(tmp_path / "plan")
    assert (plan.items, plan.shards, plan.skipped) == (27, 4, [])
    assert [plan.shard_items(number) for number in range(4)] == [8, 8, 8, 3]
    items = [item for number in range(4) for item in plan.shard(number)]
    photos, packed, single = (
        str(path) for path in (sources[0], sources[0] / "packed.tar", sources[1])
    )
    assert [(item.source, item.key, item.caption) for item in items] == [
        *((photos, f"{n:03d}.png", None) for n in range(5)),
        *((photos, f"inner/{n:03d}.png", None) for n in range(5, 9)),
        *((packed, f"{n:03d}", f"picture {n}") for n in range(20, 29)),
        *((single, f"{n:03d}", f"picture {n}") for n in range(40, 49)),
    ]
    for item, seed in zip(items, [*range(9), *range(20, 29), *range(40, 49)], strict=True):
        photo = item.photo
        content = photo.read() if isinstance(photo, ArchiveMember) else photo.read_bytes()
        assert content == picture(seed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "plan", "single.tar"]


def test_what_cannot_be_listed_is_kept_with_its_reason(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "photos", range(2))
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "a.tar").write_bytes(b"no tar")
    cut = write_tar(folder / "b.tar", samples(range(3)))
    cut.write_bytes(cut.read_bytes()[: 6 * 1024])  # six members of a header and a block
    make_plan(tmp_path / "plan", [folder], 100)
    plan = Plan(tmp_path / "plan")
    assert plan.items == 2 + 3
    paths, reasons = zip(*plan.skipped, strict=True)
    assert paths == (folder / "gone.png", folder / "a.tar", folder / "b.tar")
    assert "cannot be read" in reasons[0]
    assert "no uncompressed tar" in reasons[1]
    assert "cut short" in reasons[2]


def test_nothing_to_encode(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images found"):
        make_plan(tmp_path / "plan", [tmp_path / "empty"], 10)
    (tmp_path / "bad.tar").write_bytes(b"no tar")
    with pytest.raises(DataError, match=r"first .*bad\.tar: is no uncompressed tar"):
        make_plan(tmp_path / "plan", [tmp_path / "bad.tar"], 10)


def test_sources_that_are_missing_or_come_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert absolute_sources(["a/b"]) == [tmp_path / "a" / "b"]
    with pytest.raises(DataError, match="nowhere: no such folder or tar"):
        absolute_sources(["nowhere"])
    for twice in (["a", "a/b"], ["a/b", "a"], ["a", "./a"]):
        with pytest.raises(DataError, match="give each place once"):
            absolute_sources(twice)


def test_a_damaged_plan_is_refused(tmp_path: Path, sources: list[Path]) -> None:
    make_plan(tmp_path / "plan", sources, 8)
    content = (tmp_path / "plan").read_bytes()
    for damaged in (b"", content[:-20], b"x" * 100):
        (tmp_path / "plan").write_bytes(damaged)
        with pytest.raises(CollectionError, match="--overwrite"):
            Plan(tmp_path / "plan")


@settings(max_examples=25, deadline=None)
@given(
    tars=st.lists(st.integers(0, 7), min_size=1, max_size=4),
    shard_rows=st.integers(1, 9),
    names=st.lists(
        st.text(st.characters(exclude_characters="/.\0", codec="utf-8"), min_size=1, max_size=8),
        min_size=28,
        max_size=28,
        unique=True,
    ),
)
def test_every_image_is_in_one_shard(
    tmp_path_factory: pytest.TempPathFactory, tars: list[int], shard_rows: int, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    wanted = []
    for number, count in enumerate(tars):
        keys = names[number * 7 : number * 7 + count]
        members = [(f"{key}.png", key.encode()) for key in keys]
        wanted += [(str(folder / f"{number}.tar"), key) for key in keys]
        write_tar(folder / f"{number}.tar", members)
    if not wanted:
        return
    sources = [folder / f"{number}.tar" for number in range(len(tars))]
    for attempt in ("plan", "again"):
        make_plan(folder / attempt, sources, shard_rows)
    assert (folder / "plan").read_bytes() == (folder / "again").read_bytes()
    plan = Plan(folder / "plan")
    shards = [plan.shard(number) for number in range(plan.shards)]
    assert all(len(shard) == shard_rows for shard in shards[:-1])
    assert 0 < len(shards[-1]) <= shard_rows
    items = [item for shard in shards for item in shard]
    assert [(item.source, item.key) for item in items] == wanted
    assert [item.photo.read().decode() for item in items] == [key for _, key in wanted]
