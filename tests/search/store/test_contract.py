"""What both stores promise: one suite, run on each of them."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from kinds import Kind
from made_rows import content, file, hash_of, kept, paths, put, unit

from user_itr.errors import ConfigError
from user_itr.search.filters import Filters
from user_itr.search.found import photo_id
from user_itr.search.store import listing
from user_itr.search.store.base import LAST, FileState, PhotoStore, fitting

ODD_NAMES = [
    "/p/it's.jpg",
    "/p/' OR 1=1 --.jpg",
    '/p/double "quotes".jpg',
    "/p/back\\slash\\'.jpg",
    "/p/new\nline.jpg",
    "/p/percent % under_ score.jpg",
    "/p/{g} ? :name.jpg",
    "/p/日本語 🐕 é.jpg",
    "/p/e\u0301.jpg",
    "/p/é.jpg",
    "/p/" + "long" * 60 + ".jpg",
    "/top.jpg",
]

RED, GREEN, BLUE = unit(3, 8, seed=9)


def listed(store: PhotoStore) -> dict[str, str]:
    """The hash of each file; no path is there twice."""
    rows = list(store.files())
    assert len({row.path for row in rows}) == len(rows) == len(store)
    return {row.path: row.hash for row in rows}


def test_an_empty_store(store: PhotoStore, kind: Kind) -> None:
    for one in (store, kind.open()):
        assert len(one) == one.count() == 0
        assert list(one.files()) == []
        assert one.content_sizes() == set()
        assert one.known([hash_of("x")]) == one.known([]) == set()
        assert one.holding([hash_of("x")]) == one.holding([]) == []
        assert one.nearest(RED, 5) == one.nearest(RED, 5, Filters(min_width=1)) == []
        assert one.newest(5) == one.facts([]) == one.facts(["0" * 16]) == one.named("a", 5) == []
        assert one.roots() == one.folders() == {}
        assert one.timeline().counts() == []
        assert one.embeddings(["0" * 16]).shape == one.sample(5).shape == (0, 8)
        assert one.sentences() == []
        assert one.sentence_embeddings().shape == (0, 8)
    assert store.remove(["/p/x"]) == store.remove([]) == 0
    assert store.write([]) == []
    store.finish()
    assert str(store.location) == str(kind.location)


def test_odd_names_are_only_names(store: PhotoStore) -> None:
    put(store, ODD_NAMES, unit(len(ODD_NAMES), 8))
    again = [file(name, "other", size=7) for name in ODD_NAMES[:3]]
    assert store.write(again, [content("other", RED)]) == []
    sizes = Counter(row.state.size for row in store.files())
    assert sizes == {1: len(ODD_NAMES) - 3, 7: 3}
    assert set(paths(store.nearest(RED, 50))) == set(ODD_NAMES)
    assert {str(facts.path) for facts in store.newest(50)} == set(ODD_NAMES)
    for name in ODD_NAMES:
        [facts] = store.facts([photo_id(name)])
        assert (str(facts.path), facts.id) == (name, photo_id(name))
    left = set(ODD_NAMES)
    for name in ODD_NAMES:
        assert store.remove([name, "/p/not there"]) == 1
        left.remove(name)
        assert listed(store).keys() == left
    store.finish()
    assert store.known([hash_of("other")]) == set()


def test_what_is_written_is_read(store: PhotoStore, kind: Kind) -> None:
    taken = datetime(2021, 7, 15, 23, 59, 59)
    rows = [
        file("/p/a/1.jpg", "red", size=10, mtime_ns=1_600_000_000_123_456_789),
        file("/p/b/2.jpg", "green", root="/p/b", size=20, sidecar=(30, 40), taken=taken),
        file("/p/b/3.jpg", "red", root="/p/b", size=10, sidecar=(5, 6)),
    ]
    rows[0] = rows[0]._replace(state=FileState(10, 1_600_000_000_123_456_789, 17, 2**63 - 1))
    contents = [
        content("red", RED, size=10, taken=datetime(2020, 1, 2, 3), width=30, height=20),
        content("green", GREEN, size=20, location=(48.1, -11.5)),
    ]
    assert store.write(rows, contents) == []
    for one in (store, kind.open()):
        assert sorted(one.files()) == rows
        assert one.content_sizes() >= {10, 20}
        assert one.known([hash_of("red"), hash_of("blue")]) == {hash_of("red")}
        assert sorted(one.holding([hash_of("red"), hash_of("x")])) == [rows[0], rows[2]]
        assert one.roots() == {"/p": 1, "/p/b": 2}
        assert one.folders() == {"/p/a": 1, "/p/b": 2}
        facts = {str(facts.path): facts for facts in one.newest(9)}
        first = facts["/p/a/1.jpg"]
        assert (first.bytes, first.width, first.height) == (10, 30, 20)
        assert (first.taken, first.root) == (datetime(2020, 1, 2, 3), Path("/p"))
        assert first.modified == datetime.fromtimestamp(1_600_000_000.1234567)
        assert facts["/p/b/2.jpg"].taken == taken, "the sidecar decides"
        assert facts["/p/b/3.jpg"].taken == datetime(2020, 1, 2, 3), "it has no date"
        ids = [photo_id(row.path) for row in rows]
        assert [one.facts([id])[0].id for id in ids] == ids
        asked = [ids[2], "0" * 16, ids[0], "' OR 'a'='a"]
        assert [facts.id for facts in one.facts(asked)] == [ids[2], ids[0]]
        for id, embedding in zip(ids, (RED, GREEN, RED), strict=True):
            [stored] = one.embeddings([id])
            assert stored.dtype == np.float32
            np.testing.assert_allclose(stored, kept(embedding, kind.half), atol=1e-7)
        assert one.embeddings(["0" * 16, "x"]).shape == (0, 8)
        assert len(one.sample(100)) in (2, 3)  # contents, or files
        assert len(one.sample(1)) == 1


def test_known_contents_keep_their_embedding_whatever_files_do(
    store: PhotoStore, kind: Kind
) -> None:
    """Copies, a swap, a rotation: a path points elsewhere, and nothing is copied from a row."""
    names = {"red": RED, "green": GREEN, "blue": BLUE}
    contents = [content(name, row) for name, row in names.items()]
    store.write([file(f"/p/{name}", name) for name in names], contents)
    assert store.write([file("/p/copy", "red")]) == []
    assert store.write([file("/p/red", "green"), file("/p/green", "red")]) == []
    rotated = [file("/p/red", "blue"), file("/p/green", "green"), file("/p/blue", "red")]
    assert store.write(rotated) == []
    holds = {"/p/red": "blue", "/p/green": "green", "/p/blue": "red", "/p/copy": "red"}
    assert listed(store) == {path: hash_of(name) for path, name in holds.items()}
    for path, name in holds.items():
        [stored] = store.embeddings([photo_id(path)])
        np.testing.assert_allclose(stored, kept(names[name], kind.half), atol=1e-7)
    assert paths(store.nearest(RED, 2)) == ["/p/blue", "/p/copy"]
    store.write([file("/p/late", "red")], [content("red", BLUE)])
    [stored] = store.embeddings([photo_id("/p/late")])
    np.testing.assert_allclose(stored, kept(RED, kind.half), atol=1e-7)


def test_contents_that_are_not_known_leave_their_files_as_they_were(store: PhotoStore) -> None:
    store.write([file("/p/1", "red"), file("/p/2", "red")], [content("red", RED)])
    mixed = [file("/p/1", "lost"), file("/p/3", "red"), file("/p/4", "lost")]
    assert sorted(store.write(mixed)) == ["/p/1", "/p/4"]
    assert listed(store) == dict.fromkeys(("/p/1", "/p/2", "/p/3"), hash_of("red"))


def test_what_is_gone_leaves_with_what_comes(store: PhotoStore) -> None:
    store.write(
        [file("/old/1", "red"), file("/old/2", "green")],
        [content("red", RED), content("green", GREEN)],
    )
    moved = [file("/new/1", "red"), file("/new/2", "green")]
    assert store.write(moved, gone=["/old/1", "/old/2", "/old/3"]) == []
    assert listed(store) == {"/new/1": hash_of("red"), "/new/2": hash_of("green")}
    assert store.write([], gone=["/new/1"]) == []
    assert listed(store) == {"/new/2": hash_of("green")}
    assert store.folders() == {"/new": 1}


def test_contents_that_no_file_holds_leave_in_the_end(store: PhotoStore) -> None:
    store.write(
        [file("/p/1", "red"), file("/p/2", "green")],
        [content("red", RED, size=3), content("green", GREEN, size=4)],
    )
    store.write([file("/p/1", "green")])
    store.finish()
    assert store.known([hash_of("red"), hash_of("green")]) == {hash_of("green")}
    assert store.content_sizes() <= {1, 4}
    assert store.write([file("/p/3", "red")]) == ["/p/3"]
    assert store.write([file("/p/3", "red")], [content("red", BLUE)]) == []
    assert paths(store.nearest(BLUE, 1)) == ["/p/3"], "the embedding of then is gone"


def test_numbers_beyond_64_bits_and_dates_at_the_ends(store: PhotoStore) -> None:
    assert [fitting(number) for number in (2**80, -(2**80), 5)] == [LAST, -LAST, 5]
    states = [
        FileState(0, 0, 0, 0),
        FileState(2**62, 2**62, 2**62, 2**63 - 1),
        FileState(2**70, 2**70, 2**70, 2**70),
        FileState(1, -(2**70), -(2**70), 0),
        FileState(1, -1, -1, 1),
    ]
    rows = [
        file(f"/p/{number}", number)._replace(state=state) for number, state in enumerate(states)
    ]
    dates = [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59), None, None, None]
    contents = [
        content(number, row, taken=taken, width=2**31 - 2, height=1, size=2**62)
        for number, (row, taken) in enumerate(zip(unit(5, 8), dates, strict=True))
    ]
    store.write(rows, contents)
    wanted = [FileState(*map(fitting, state)) for state in states]
    assert [row.state for row in sorted(store.files())] == wanted
    facts = {str(facts.path): facts for facts in store.newest(9)}
    assert [facts[f"/p/{n}"].taken for n in range(3)] == dates[:3]
    assert [str(facts.path) for facts in store.newest(9)] == [
        "/p/1",
        "/p/2",
        "/p/4",
        "/p/3",
        "/p/0",
    ]
    assert len(store.timeline()) == 5
    assert date(9999, 12, 31) not in dict(store.timeline().counts()), "it cannot be"
    assert store.count(Filters(min_width=2**31 - 2)) == 5
    assert store.count(Filters(min_width=2**40)) == 0
    assert store.count(Filters(before=date.max)) == 5
    assert store.count(Filters(after=date.min)) == 5
    assert store.count(Filters(after=date.max)) == 1
    assert store.count(Filters(min_bytes=2**61)) == 2


def when(day: date, hour: int = 12) -> int:
    return int(datetime(day.year, day.month, day.day, hour).timestamp()) * 10**9


def test_days_pages_and_the_newest_first(store: PhotoStore) -> None:
    first = date(2019, 5, 5)
    rows, contents = [], []
    for number, row in enumerate(unit(12, 8)):
        day = first + timedelta(days=number // 3)
        taken = datetime(day.year, day.month, day.day, number) if number % 2 else None
        mtime = when(date(1999, 1, 1)) if number % 2 else when(day, number)
        rows.append(file(f"/p/{number}", number, mtime_ns=mtime))
        contents.append(content(number, row, taken=taken, width=number))
    store.write(rows, contents)
    newest = [f"/p/{number}" for number in reversed(range(12))]
    assert [str(facts.path) for facts in store.newest(99)] == newest
    pages = [str(facts.path) for start in range(0, 15, 5) for facts in store.newest(5, start)]
    assert pages == newest
    few = Filters(after=first + timedelta(days=1), before=first + timedelta(days=2))
    assert [str(facts.path) for facts in store.newest(99, 1, few)] == newest[4:9]
    assert store.count(few) == 6
    timeline = store.timeline()
    odd, even = newest[::2], newest[1::2]  # those with a date of their own, and those without
    ids = [listing.shown_id(number) for number in timeline.ids.tolist()]
    assert ids == [photo_id(path) for path in odd + even]
    assert timeline.dated == 6
    counts = [(3, 2), (2, 1), (1, 2), (0, 1)]
    assert timeline.counts() == [(first + timedelta(days=day), count) for day, count in counts]
    assert timeline.ratios.tolist() == [*range(11_000, 0, -2_000), *range(10_000, 0, -2_000), 50]
    assert len(store.timeline(few)) == 6
    before = store.state()
    assert store.state() == before
    store.write([file("/p/0", 0, taken=datetime(2030, 1, 1))])
    assert str(store.newest(1)[0].path) == "/p/0", "a sidecar moves it"
    assert store.count(Filters(after=date(2030, 1, 1))) == 1
    assert store.state() != before


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        ({}, "abcde"),
        ({"after": date(2021, 7, 15)}, "bc"),
        ({"before": date(2021, 7, 14)}, "ade"),
        ({"before": date(2021, 7, 15)}, "abcde"),
        ({"after": date(2020, 1, 1), "before": date(2020, 1, 1)}, "a"),
        ({"after": date(2019, 5, 5), "before": date(2019, 5, 5)}, "de"),
        ({"before": date(2019, 5, 4)}, ""),
        ({"min_width": 30}, "ae"),
        ({"min_width": 20, "min_height": 30}, "be"),
        ({"min_bytes": 4}, "de"),
        ({"max_bytes": 2, "min_height": 11}, "ab"),
        ({"folder": Path("/p")}, "abcde"),
        ({"folder": Path("/p/it's")}, "ab"),
        ({"folder": Path("/p/it's/")}, "ab"),
        ({"folder": Path("/p/it")}, ""),
        ({"folder": Path("/p/caf\u00e9")}, "cd"),
        ({"folder": Path("/p/cafe\u0301")}, "cd"),
        ({"folder": Path("/p/caf_")}, ""),
        ({"folder": Path("/p/%")}, ""),
        ({"folder": Path("/p/cafe\u0301"), "min_bytes": 4, "after": date(2019, 1, 1)}, "d"),
    ],
)
def test_filters(kind: Kind, limits: dict[str, object], names: str) -> None:
    store = kind.open(create=True)
    changed = when(date(2019, 5, 5), 1)
    rows, contents = [], []
    for number, (path, taken, shape) in enumerate(
        (
            ("/p/it's/a", datetime(2020, 1, 1), (30, 20)),
            ("/p/it's/b", datetime(2021, 7, 15, 12, 30), (20, 30)),
            ("/p/caf\u00e9/c", datetime(2021, 7, 15, 23, 59, 59), (10, 10)),
            ("/p/cafe\u0301/sub/d", None, (10, 11)),
            ("/p/x/e", None, (40, 40)),
        ),
        start=1,
    ):
        rows.append(file(path, path, size=number, mtime_ns=changed))
        contents.append(
            content(path, unit(1, 8, number)[0], taken=taken, width=shape[0], height=shape[1])
        )
    store.write(rows, contents)
    for finished in (False, True):
        if finished:
            store.finish()
        filters = Filters(**limits)  # type: ignore[arg-type]
        for found in (
            store.nearest(RED, 9, filters),
            store.nearest(RED, 9, filters, exact=True),
            store.newest(9, filters=filters),
        ):
            assert "".join(sorted(one.path.name for one in found)) == names
        assert store.count(filters) == len(store.timeline(filters)) == len(names)


NAMED = {
    "/p/Summer 2021/Émile am Strand.jpg": "summer émile emile EMILE strand sum 2021 jpg é",
    "/p/Summer 2021/IMG_0042.jpg": "img 0042 img_0042 2021 summer",
    "/p/Zu\u0308rich/see-blick.png": "zürich zurich zu\u0308rich see blick see-blick blick.png",
    '/p/it\'s/100% (best) "one".jpg': 'its 100 100% best "one" (best one*',
    "/p/日本語/犬.jpg": "日本語 日本 犬",
}


@pytest.mark.parametrize("path", NAMED)
def test_names_are_found_by_words(store: PhotoStore, path: str) -> None:
    rows = [file(name, name, mtime_ns=number * 10**9) for number, name in enumerate(NAMED)]
    store.write(rows, [content(name, row) for name, row in zip(NAMED, unit(5, 8), strict=True)])
    for word in NAMED[path].replace("its ", "it ").split():
        assert path in [str(facts.path) for facts in store.named(word, 9)], word
    both = [str(facts.path) for facts in store.named("summer 2021", 9)]
    assert both == list(NAMED)[1::-1], "all of the words, the newest first"
    assert [str(facts.path) for facts in store.named("summer", 1, 1)] == both[1:]
    assert [str(facts.path) for facts in store.named("emile summ", 9)] == both[1:]
    for nothing in (
        "",
        "  ",
        "*",
        '"',
        "AND",
        "NOT x",
        "ummer",
        "name:summer",
        "summer OR best",
        "2021 042",
        "\0",
    ):
        assert store.named(nothing, 9) == [], nothing
    store.remove([path])
    assert path not in [str(facts.path) for facts in store.named("p", 9)]


def test_sentences(store: PhotoStore, kind: Kind) -> None:
    texts = ["a red thing", 'it\'s "blue"', "", "z", "a"]
    store.replace_sentences(texts, unit(5, 8))
    for one in (store, kind.open()):
        assert one.sentences() == texts
        np.testing.assert_allclose(
            one.sentence_embeddings(), kept(unit(5, 8), kind.half), atol=1e-7
        )
    store.replace_sentences(["only"], unit(1, 8, 3))
    assert kind.open().sentences() == ["only"]
    store.replace_sentences([], np.empty((0, 8), np.float32))
    assert kind.open().sentences() == []
    assert kind.open().sentence_embeddings().shape == (0, 8)
    assert len(store) == 0


def test_a_reader_sees_each_change_whole_and_at_once(store: PhotoStore, kind: Kind) -> None:
    reader = kind.open()
    for step in range(4):
        names = [f"/p/{number}" for number in range(10 * step, 10 * step + 20)]
        rows = unit(20, 8, step)
        put(store, names, rows)
        assert paths(reader.nearest(rows[13], 1)) == [names[13]]
        assert len(reader) == 10 * step + 20
        if step % 2:
            store.finish()
            assert paths(reader.nearest(rows[13], 1)) == [names[13]]
        assert reader.count(Filters(folder=Path("/p"))) == len(reader.newest(99)) == len(reader)


def test_another_generation_is_another_store(store: PhotoStore, kind: Kind) -> None:
    put(store, ["/p/1", "/p/2"], unit(2, 8))
    store.replace_sentences(["one"], unit(1, 8))
    other = kind.open(create=True, generation=2)
    assert len(other) == 0
    assert other.sentences() == []
    assert other.write([file("/p/1", "red"), file("/p/9", "red")], [content("red", RED)]) == []
    other.finish()
    store.finish()
    assert listed(other).keys() == {"/p/1", "/p/9"}
    assert listed(store).keys() == {"/p/1", "/p/2"}
    np.testing.assert_allclose(
        other.embeddings([photo_id("/p/1")])[0], kept(RED, kind.half), atol=1e-7
    )
    np.testing.assert_allclose(
        store.embeddings([photo_id("/p/1")])[0], kept(unit(2, 8)[0], kind.half), atol=1e-7
    )


def test_an_index_on_object_storage_keeps_no_albums(store: PhotoStore, kind: Kind) -> None:
    put(store, ["/p/1"], RED[None])
    asks = [Filters(album=1), Filters(favourites=True), Filters(hidden="only")]
    if kind.name == "sqlite":
        assert store.marks().albums() == []
        assert [store.count(one) for one in asks] == [0, 0, 0]
        return
    for ask in (store.marks, *(lambda one=one: store.count(one) for one in asks)):
        with pytest.raises(ConfigError, match="keeps no favourites, albums or hidden photos"):
            ask()
    assert store.count(Filters(hidden="with")) == 1
