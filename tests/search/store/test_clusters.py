"""Where photos were taken: clusters for a map, and photos of an area."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from kinds import in_a_folder
from made_rows import content, file, paths, unit

from user_itr.errors import ConfigError
from user_itr.search.filters import Area, Filters
from user_itr.search.store.base import Cluster, PhotoStore

PLACES = {
    "paris": (48.8566, 2.3522),
    "versailles": (48.8049, 2.1204),
    "sydney": (-33.8688, 151.2093),
    "fiji": (-17.7134, 178.065),
    "samoa": (-13.759, -172.1046),
    "pole": (-90.0, 0.0),
    "edge": (90.0, 180.0),
    "nowhere": None,
}


def stored(folder: Path, places: dict[str, tuple[float, float] | None]) -> PhotoStore:
    """A store of one photo a place, its name that of the place."""
    store = in_a_folder(folder).open(create=True)
    vectors = unit(len(places), 8)
    store.write(
        [file(f"/p/{name}", name) for name in places],
        [
            content(name, vector, location=place)
            for (name, place), vector in zip(places.items(), vectors, strict=True)
        ],
    )
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PhotoStore:
    return stored(tmp_path_factory.mktemp("places"), PLACES)


@pytest.mark.parametrize(
    ("area", "names"),
    [
        (Area(48, 2, 49, 3), {"paris", "versailles"}),
        (Area(48.8566, 2.3522, 48.8566, 2.3522), {"paris"}),
        (Area(-20, 170, -10, -170), {"fiji", "samoa"}),
        (Area(-20, -170, -10, 170), set()),
        (Area(-90, -180, 90, 180), set(PLACES) - {"nowhere"}),
    ],
)
def test_photos_of_an_area(store: PhotoStore, area: Area, names: set[str]) -> None:
    filters = Filters(area=area)
    assert {facts.path.name for facts in store.newest(99, filters=filters)} == names
    near = store.nearest(unit(1, 8)[0], 99, filters)
    assert {path.rsplit("/", 1)[1] for path in paths(near)} == names
    assert store.count(filters) == len(names)


@pytest.mark.parametrize(
    "area",
    [(1, 0, 0, 0), (-91, 0, 0, 0), (0, -181, 0, 0), (0, 0, 91, 0), (0, 0, 0, math.nan)],
)
def test_an_area_that_is_not_on_the_globe(area: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="south, west, north and east"):
        Filters(area=Area(*area))


@pytest.mark.parametrize("step", [0.1, 1.0, 7.3, 180.0])
def test_clusters_are_those_of_a_plain_count(tmp_path: Path, step: float) -> None:
    draw = np.random.default_rng(1)
    centres = draw.uniform((-80, -170), (80, 170), (5, 2))
    drawn = centres[draw.integers(5, size=200)] + draw.normal(size=(200, 2))
    store = stored(tmp_path, {f"{n}": (lat, lon) for n, (lat, lon) in enumerate(drawn.tolist())})
    cells: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for latitude, longitude in drawn.tolist():
        cell = int((latitude + 90) / step), int((longitude + 180) / step)
        cells.setdefault(cell, []).append((latitude, longitude))
    found = store.clusters(step, 999)
    assert [one.files for one in found] == sorted(map(len, cells.values()), reverse=True)
    assert as_set(found) == {
        (
            len(inside),
            *(round(sum(side) / len(inside), 6) for side in zip(*inside, strict=True)),
            *(min(side) for side in zip(*inside, strict=True)),
            *(max(side) for side in zip(*inside, strict=True)),
        )
        for inside in cells.values()
    }
    assert store.clusters(step, 1) == found[:1]


def as_set(clusters: list[Cluster]) -> set[tuple[float, ...]]:
    return {
        (one.files, round(one.latitude, 6), round(one.longitude, 6), *one.area) for one in clusters
    }


def test_a_cluster_names_one_of_its_photos(store: PhotoStore) -> None:
    for one in store.clusters(5, 99):
        [facts] = store.facts([one.id])
        place = PLACES[facts.path.name]
        assert place is not None
        assert one.area.south <= place[0] <= one.area.north
        assert one.area.west <= place[1] <= one.area.east


def test_filters_hold_for_clusters(store: PhotoStore) -> None:
    found = store.clusters(180, 99, Filters(area=Area(48, 2, 49, 3)))
    assert [one.files for one in found] == [2]
    assert store.clusters(5, 99, Filters(min_width=2)) == []
