"""Two written evaluations of the same items: differences, and the queries that moved most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from user_itr.errors import DataError
from user_itr.evaluation.bootstrap import RESAMPLES, Difference
from user_itr.evaluation.document import StoredEvaluation
from user_itr.evaluation.paired_tests import PairedComparison, compare_ranks
from user_itr.evaluation.ranks import BestRanks


@dataclass(frozen=True, slots=True)
class Moved:
    """One query whose rank differs.

    Args:
        query: the caption, or the id of the image.
        before: its rank by the first model.
        after: its rank by the second.
    """

    query: str
    before: float
    after: float


@dataclass(frozen=True)
class Comparison:
    """The second model less the first.

    Args:
        names: of the two.
        first: recalls of the first in percent, "i2t R@1" and so on, and "rsum".
        second: the same of the second.
        paired: differences and tests.
        moved: by direction, the queries that moved most.
        ties: the tie rule of both.
    """

    names: tuple[str, str]
    first: dict[str, float]
    second: dict[str, float]
    paired: PairedComparison
    moved: dict[Literal["i2t", "t2i"], tuple[Moved, ...]]
    ties: str

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "first": {"name": self.names[0], **self.first},
            "second": {"name": self.names[1], **self.second},
            "difference": self.paired.to_dict(),
            "moved": {way: [asdict(one) for one in found] for way, found in self.moved.items()},
            "ties": self.ties,
        }


def compare(
    first: StoredEvaluation,
    second: StoredEvaluation,
    *,
    moved: int = 10,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare two models on the queries that both answered.

    Queries are ordered by |log(rank after / rank before)|: from 1 to 10 is as far as from 10 to
    100, since a person reads the head of a list.

    Args:
        first: the reference.
        second: what is compared with it.
        moved: queries to name in each direction.
        resamples: of the paired bootstrap.

    Raises:
        DataError: if they are of different items, tie rules or cut-offs.
    """
    if first.split_key != second.split_key:
        raise DataError(
            f"{first.dataset}, {first.split} and {second.dataset}, {second.split} are different "
            "items; evaluate both models on the same split of the same set."
        )
    ties = first.metrics.ties
    if ties != second.metrics.ties:
        raise DataError(
            f"one evaluation has {ties} ties and the other {second.metrics.ties}; evaluate both "
            "with the same --ties."
        )
    ks = [k for k in first.ks if k in second.ks]
    if not ks:
        raise DataError("the evaluations share no cut-off of recall; evaluate with the same --k.")
    owner = np.array(first.items.caption_image, np.int64)
    paired = compare_ranks(second.ranks, first.ranks, owner, ks, ties=ties, resamples=resamples)
    figures = []
    for one in (first, second):
        values = {
            f"{way} R@{k}": 100 * float(np.mean(getattr(one.ranks, way).hits(k, ties)))
            for way in ("i2t", "t2i")
            for k in ks
        }
        figures.append({**values, "rsum": sum(values.values())})
    names = (first.name, second.name)
    return Comparison(
        names,
        first=figures[0],
        second=figures[1],
        paired=paired,
        moved={
            "i2t": _moved(first.ranks.i2t, second.ranks.i2t, ties, first.items.images, moved),
            "t2i": _moved(first.ranks.t2i, second.ranks.t2i, ties, first.items.captions, moved),
        },
        ties=ties,
    )


def _moved(
    first: BestRanks, second: BestRanks, ties: Any, texts: Sequence[str], wanted: int
) -> tuple[Moved, ...]:
    before, after = first.ranks(ties), second.ranks(ties)
    distance = np.abs(np.log(after / before))
    order = np.argsort(-distance, kind="stable")[:wanted]
    return tuple(
        Moved(texts[first.queries[at]], float(before[at]), float(after[at]))
        for at in order
        if distance[at] > 0
    )


def comparison_table(comparison: Comparison) -> Table:
    """Recalls of both, the difference with its interval and p-value, queries won and lost."""
    a, b = comparison.names
    table = Table(
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
        title=f"A: {a}\nB: {b}",
        caption=(
            "B less A with its 95 % interval and p by a paired bootstrap over images; queries that "
            f"B alone or A alone answers within K. {comparison.ties} ties."
        ),
        caption_justify="left",
        title_justify="left",
    )
    table.add_column("", no_wrap=True)
    for name in ("A", "B", "B - A", "95 %", "p", "won", "lost"):
        table.add_column(name, justify="right", no_wrap=True)
    paired = comparison.paired
    rows: list[tuple[str, str, Difference, tuple[str, str]]] = []
    sides = (("i2t", "image to text", paired.i2t), ("t2i", "text to image", paired.t2i))
    for way, label, side in sides:
        for k, difference in side.recall.items():
            test = side.hits[k]
            key = f"{way} R@{k}"
            rows.append((key, f"{label} R@{k}", difference, (f"{test.wins}", f"{test.losses}")))
    rows.append(("rsum", "rsum", paired.rsum, ("", "")))
    for key, label, difference, counts in rows:
        table.add_row(
            label,
            f"{comparison.first[key]:.1f}",
            f"{comparison.second[key]:.1f}",
            f"{difference.value:+.1f}",
            f"{difference.low:+.1f} to {difference.high:+.1f}",
            f"{difference.p_value:.4f}",
            *counts,
        )
    return table


def moved_table(comparison: Comparison, direction: Literal["i2t", "t2i"]) -> Table:
    """The queries that moved most, with their ranks by both."""
    label = "image to text" if direction == "i2t" else "text to image"
    title = f"{label}: the queries that moved most"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name in ("rank by A", "rank by B"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("query")
    for one in comparison.moved[direction]:
        table.add_row(f"{one.before:g}", f"{one.after:g}", one.query)
    return table
