"""Rows of a grid over their seeds, and against the reference."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from user_itr.ablation.grid import Grid
from user_itr.ablation.measurement import METRICS, Measurement
from user_itr.ablation.runner import Result
from user_itr.evaluation.bootstrap import Difference, paired_bootstrap


@dataclass(frozen=True)
class RowSummary:
    """One row over its seeds, by the names of `METRICS`, in percent points.

    Args:
        name: of the row.
        label: for people.
        measured: its measurements by seed.
        mean: over the seeds.
        deviation: sample standard deviation over the seeds; None with one seed.
        difference: to the reference, over the seeds that both have; None for the reference itself,
            and where there is no such seed.
    """

    name: str
    label: str
    measured: dict[int, Measurement]
    mean: dict[str, float]
    deviation: dict[str, float | None]
    difference: dict[str, Difference] | None


def summarise(grid: Grid, results: Sequence[Result]) -> list[RowSummary]:
    """Summaries of the rows that have a measurement, in the grid's order."""
    measured: dict[str, dict[int, Measurement]] = {name: {} for name in grid.rows}
    for result in results:
        if result.measurement is not None:
            measured[result.row][result.seed] = result.measurement
    return [
        _summary(grid, name, ones, measured[grid.reference])
        for name, ones in measured.items()
        if ones
    ]


def _summary(
    grid: Grid, name: str, ones: dict[int, Measurement], reference: dict[int, Measurement]
) -> RowSummary:
    values = {key: [one.figures[key] for one in ones.values()] for key in METRICS}
    seeds = [seed for seed in ones if seed in reference]
    difference = None
    if name != grid.reference and seeds:
        pairs = paired_bootstrap(
            [ones[seed].hits for seed in seeds], [reference[seed].hits for seed in seeds]
        )
        difference = dict(zip(METRICS, pairs, strict=True))
    return RowSummary(
        name,
        grid.rows[name].label,
        ones,
        mean={key: statistics.fmean(found) for key, found in values.items()},
        deviation={
            key: statistics.stdev(found) if len(found) > 1 else None
            for key, found in values.items()
        },
        difference=difference,
    )
