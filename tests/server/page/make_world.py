"""The map of the page, made of Natural Earth's countries at 1:50 million.

npm pack world-atlas@2.0.2 && tar xf world-atlas-2.0.2.tgz
python tests/server/page/make_world.py package/countries-50m.json src/user_itr/server/static

`world-atlas` is Natural Earth 4.1.0 as TopoJSON: borders that two countries share are one arc, so
that they stay one line when lines are simplified.
"""

from __future__ import annotations

import argparse
import json
import math
from itertools import pairwise
from pathlib import Path

UNIT = 0.01
"""Degrees of latitude and longitude."""

TOLERANCE = 0.06
"""Degrees that a line may be away from where it was."""

SMALLEST = 0.02
"""Square degrees of an island; the largest of each country stays whatever its size."""

NAMES = {
    "Ashmore and Cartier Is.": "Ashmore and Cartier Islands",
    "Antigua and Barb.": "Antigua and Barbuda",
    "Bosnia and Herz.": "Bosnia and Herzegovina",
    "Br. Indian Ocean Ter.": "British Indian Ocean Territory",
    "British Virgin Is.": "British Virgin Islands",
    "Cayman Is.": "Cayman Islands",
    "Central African Rep.": "Central African Republic",
    "Cook Is.": "Cook Islands",
    "Dem. Rep. Congo": "Democratic Republic of the Congo",
    "Dominican Rep.": "Dominican Republic",
    "Eq. Guinea": "Equatorial Guinea",
    "Faeroe Is.": "Faroe Islands",
    "Falkland Is.": "Falkland Islands",
    "Fr. Polynesia": "French Polynesia",
    "Fr. S. Antarctic Lands": "French Southern Lands",
    "Heard I. and McDonald Is.": "Heard and McDonald Islands",
    "Indian Ocean Ter.": "Indian Ocean Territories",
    "Macedonia": "North Macedonia",
    "Marshall Is.": "Marshall Islands",
    "N. Cyprus": "Northern Cyprus",
    "N. Mariana Is.": "Northern Mariana Islands",
    "Pitcairn Is.": "Pitcairn Islands",
    "S. Geo. and the Is.": "South Georgia",
    "S. Sudan": "South Sudan",
    "Solomon Is.": "Solomon Islands",
    "St-Barthélemy": "Saint Barthélemy",
    "St-Martin": "Saint Martin",
    "St. Kitts and Nevis": "Saint Kitts and Nevis",
    "St. Pierre and Miquelon": "Saint Pierre and Miquelon",
    "St. Vin. and Gren.": "Saint Vincent and the Grenadines",
    "Turks and Caicos Is.": "Turks and Caicos Islands",
    "U.S. Virgin Is.": "United States Virgin Islands",
    "United States of America": "United States",
    "W. Sahara": "Western Sahara",
    "Wallis and Futuna Is.": "Wallis and Futuna",
    "eSwatini": "Eswatini",
}
"""What the abbreviations stand for."""

Line = list[tuple[float, float]]


def arcs_of(topology: dict) -> list[Line]:
    """Lines as longitude and latitude in degrees."""
    (scale_x, scale_y), (left, bottom) = (
        topology["transform"][key] for key in ("scale", "translate")
    )
    lines = []
    for arc in topology["arcs"]:
        x = y = 0
        line = []
        for right, up in arc:
            x, y = x + right, y + up
            line.append((x * scale_x + left, y * scale_y + bottom))
        lines.append(line)
    return lines


def simplified(line: Line) -> Line:
    """Fewer points, none of the others further away than `TOLERANCE` (Douglas and Peucker)."""
    keep = [False] * len(line)
    keep[0] = keep[-1] = True
    parts = [(0, len(line) - 1)]
    while parts:
        first, last = parts.pop()
        far, where = max(
            ((_distance(line[i], line[first], line[last]), i) for i in range(first + 1, last)),
            default=(0.0, 0),
        )
        if far > TOLERANCE:
            keep[where] = True
            parts += [(first, where), (where, last)]
    return [point for point, kept in zip(line, keep, strict=True) if kept]


def _distance(
    point: tuple[float, float], start: tuple[float, float], end: tuple[float, float]
) -> float:
    """Degrees of latitude between a point and a straight line; a degree east is shorter."""
    narrow = math.cos(math.radians(point[1]))
    x, y = (point[0] - start[0]) * narrow, point[1] - start[1]
    right, up = (end[0] - start[0]) * narrow, end[1] - start[1]
    length = right * right + up * up
    along = 0.0 if length == 0 else min(max((x * right + y * up) / length, 0), 1)
    return math.hypot(x - along * right, y - along * up)


def area(ring: list[int], arcs: list[Line]) -> float:
    """Square degrees of latitude that a ring of arcs encloses."""
    points = [point for arc in ring for point in (arcs[arc] if arc >= 0 else arcs[~arc][::-1])]
    doubled = sum(x * below - right * y for (x, y), (right, below) in pairwise(points))
    return abs(doubled) / 2 * math.cos(math.radians(points[0][1]))


def world(topology: dict) -> dict:
    """The map: `arcs` in steps of `unit` degrees, and `countries` as rings of arcs.

    An arc is x, y of its first point, then the differences from point to point. A ring names its
    arcs; ~n is arc n backwards.
    """
    whole = arcs_of(topology)
    countries = []
    for shape in topology["objects"]["countries"]["geometries"]:
        polygons = shape["arcs"] if shape["type"] == "MultiPolygon" else [shape["arcs"]]
        rings = [ring for polygon in polygons for ring in polygon]
        sizes = [area(ring, whole) for ring in rings]
        kept = [
            ring
            for ring, size in zip(rings, sizes, strict=True)
            if size >= SMALLEST or size == max(sizes)
        ]
        name = shape["properties"]["name"]
        countries.append((NAMES.get(name, name), kept))
    countries.sort()
    used = sorted({max(arc, ~arc) for _, rings in countries for ring in rings for arc in ring})
    number = {arc: place for place, arc in enumerate(used)}
    return {
        "source": "Natural Earth, naturalearthdata.com, public domain",
        "unit": UNIT,
        "arcs": [_steps(whole[arc]) for arc in used],
        "countries": [
            [name, [[number[arc] if arc >= 0 else ~number[~arc] for arc in ring] for ring in rings]]
            for name, rings in countries
        ],
    }


def _steps(line: Line) -> list[int]:
    simple = simplified(line)
    if line[0] == line[-1] and len(simple) < 4:  # an island has to have an inside
        simple = [line[0], line[len(line) // 3], line[2 * len(line) // 3], line[0]]
    points = [(round(x / UNIT), round(y / UNIT)) for x, y in simple]
    steps = [points[0], *((x - a, y - b) for (a, b), (x, y) in pairwise(points))]
    return [number for step in (steps[0], *filter(any, steps[1:])) for number in step]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("countries", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    made = world(json.loads(options.countries.read_text()))
    text = json.dumps(made, ensure_ascii=False, separators=(",", ":"))
    (options.out / "world.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
