"""Rows of a grid over their seeds, and against the reference."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from user_itr.ablation.grid import Grid
from user_itr.ablation.measurement import METRICS, Measurement
from user_itr.ablation.runner import Result
from user_itr.evaluation.bootstrap import Difference, paired_bootstrap

_STUDENT = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
)
"""0.975 quantiles of Student's t distribution with 1, 2, ... degrees of freedom."""


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
        over_seeds: 95 % interval of that difference over seeds, paired; None with fewer than two.
    """

    name: str
    label: str
    measured: dict[int, Measurement]
    mean: dict[str, float]
    deviation: dict[str, float | None]
    difference: dict[str, Difference] | None
    over_seeds: dict[str, tuple[float, float]] | None


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
    difference = over_seeds = None
    if name != grid.reference and seeds:
        pairs = paired_bootstrap(
            [ones[seed].hits for seed in seeds], [reference[seed].hits for seed in seeds]
        )
        difference = dict(zip(METRICS, pairs, strict=True))
        if len(seeds) > 1:
            over_seeds = {
                key: student_interval(
                    [ones[seed].figures[key] - reference[seed].figures[key] for seed in seeds]
                )
                for key in METRICS
            }
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
        over_seeds=over_seeds,
    )


def student_interval(values: Sequence[float]) -> tuple[float, float]:
    """Student's 95 % interval of the mean of two values or more: mean -+ t s / sqrt(n)."""
    mean, freedom = statistics.fmean(values), len(values) - 1
    if freedom <= len(_STUDENT):
        quantile = _STUDENT[freedom - 1]
    else:  # the first terms of Cornish and Fisher's expansion, right to three digits from here on
        z = statistics.NormalDist().inv_cdf(0.975)
        quantile = z + (z**3 + z) / (4 * freedom)
    half = quantile * statistics.stdev(values) / len(values) ** 0.5
    return mean - half, mean + half
