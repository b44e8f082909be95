"""The figures of an evaluation as plain tables, and these as Markdown, LaTeX and HTML."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from user_itr.evaluation.result import EvaluationResult

WAYS = {
    "i2t": "image to text",
    "t2i": "text to image",
    "t2t": "text to text",
    "i2i": "image to image",
}
_RATINGS = {
    "sits": "SITS, images and captions",
    "sis": "SIS, images",
    "sts": "STS, captions",
}


@dataclass(frozen=True)
class PlainTable:
    """Text in cells.

    Args:
        title: of the table.
        heads: of the columns.
        rows: as many cells as heads each; the first one names the row.
        note: below it.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def main_table(result: EvaluationResult) -> PlainTable:
    """One row as papers print it: recalls of both directions, rsum, mR."""
    metrics = result.metrics
    heads, cells = [], []
    for name, side in (("i2t", metrics.i2t), ("t2i", metrics.t2i)):
        heads += [f"{name} R@{k}" for k in side.recall]
        cells += [f"{value:.1f}" for value in side.recall.values()]
    row = (
        " + ".join(model.name for model in result.models),
        *cells,
        f"{metrics.rsum:.1f}",
        f"{metrics.mean_recall:.1f}",
    )
    note = (
        f"{metrics.i2t.candidates:,} captions, {metrics.t2i.candidates:,} images, "
        f"{metrics.ties} ties"
    )
    return PlainTable(result.title, ("model", *heads, "rsum", "mR"), (row,), note)


def further_tables(result: EvaluationResult) -> list[PlainTable]:
    """Tables of the folds and of each protocol that was asked for."""
    found = []
    if result.folded is not None:
        count = len(result.folded.folds)
        means = {way: result.folded.mean(way) for way in ("i2t", "t2i")}
        each = " ".join(f"{fold.rsum:.1f}" for fold in result.folded.folds)
        note = f"rsum {result.folded.rsum:.1f}, the mean of {each}"
        found.append(_recalls(f"{result.title}: mean of {count} folds", means, note))
    for name, document in result.protocols.items():
        found += _PROTOCOLS[name](document)
    return found


def _recalls(title: str, sides: Mapping[str, Mapping[str, float]], note: str = "") -> PlainTable:
    """Of `RetrievalMetrics.to_dict` by direction."""
    ks = [name for name in next(iter(sides.values())) if name.startswith("R@")]
    rows = tuple(
        (
            WAYS[way],
            *(f"{one[k]:.1f}" for k in ks),
            f"{round(one['median_rank'], 1):g}",
            f"{one['mean_rank']:.1f}",
            f"{one['queries']:,.0f}",
            f"{one['candidates']:,.0f}",
        )
        for way, one in sides.items()
    )
    return PlainTable(
        title, ("direction", *ks, "median rank", "mean rank", "queries", "among"), rows, note
    )


def _cxc(document: Mapping[str, Any]) -> list[PlainTable]:
    sides = {way: document[way] for way in WAYS if way in document}
    twice = document["i2i_pairs"]
    note = (
        f"Of the pairs of images, {twice['rated_twice']:,} were rated twice; for "
        f"{twice['on_both_sides_of_the_threshold']:,} of them it hangs on which rating counts "
        "whether they are right."
    )
    missing = [WAYS[way] for way in WAYS if way not in document]
    if missing:
        note = (
            f"A matrix of images against captions has no scores for {' and '.join(missing)}, nor "
            "for SIS and STS: give embeddings."
        )
    rated = tuple(
        (
            name,
            f"{document[task]['spearman']:.1f}",
            f"{document[task]['deviation']:.1f}",
            f"{document[task]['queries']:,}",
            f"{document[task]['pairs']:,}",
        )
        for task, name in _RATINGS.items()
        if task in document
    )
    heads = ("ratings of", "Spearman x 100", "deviation", "queries", "pairs")
    return [
        _recalls("Crisscrossed Captions: retrieval", sides, note),
        PlainTable(
            "Crisscrossed Captions: correlation with ratings",
            heads,
            rated,
            "Means over 1,000 draws of half the queries, one rated pair of each.",
        ),
    ]


def _eccv(document: Mapping[str, Any]) -> list[PlainTable]:
    verified = tuple(
        (
            WAYS[way],
            *(f"{document['eccv'][way][name]:.1f}" for name in ("mAP@R", "R-Precision", "R@1")),
            f"{document['eccv'][way]['queries']:,}",
            f"{document['eccv'][way]['positives']:,}",
        )
        for way in ("i2t", "t2i")
    )
    names = {"coco_5k": "COCO 5K", "coco_1k": "COCO 1K", "cxc": "CxC"}
    ks = [name for name in document["coco_5k"]["i2t"] if name.startswith("R@")]
    recalls = tuple(
        (
            name,
            *(f"{document[key][way][k]:.1f}" for way in ("i2t", "t2i") for k in ks),
        )
        for key, name in names.items()
    )
    heads = tuple(f"{way} {k}" for way in ("i2t", "t2i") for k in ks)
    return [
        PlainTable(
            "ECCV Caption: verified matches",
            ("direction", "mAP@R", "R-Precision", "R@1", "queries", "right"),
            verified,
        ),
        PlainTable("ECCV Caption: recalls beside it", ("ground truth", *heads), recalls),
    ]


def _plausible(document: Mapping[str, Any]) -> list[PlainTable]:
    names = list(document["i2t"])
    rows = tuple(
        (WAYS[way], *(f"{document[way][name]:.1f}" for name in names)) for way in ("i2t", "t2i")
    )
    note = f"{document['images']:,} images with an object, {document['captions']:,} captions"
    return [PlainTable("Plausible matches", ("direction", *names), rows, note)]


def _normalised(document: Mapping[str, Any]) -> list[PlainTable]:
    note = (
        f"rsum {document['rsum']:.1f}. Transductive: scores are relative to those of all queries "
        f"(inverted softmax, sharpness {document['sharpness']:g}), which a search does not know."
    )
    sides = {way: document[way] for way in ("i2t", "t2i")}
    return [_recalls("Normalised over all queries", sides, note)]


def _precision(document: Mapping[str, Any]) -> list[PlainTable]:
    names = [name for name in document["i2t"] if name not in ("queries", "positives")]
    rows = tuple(
        (
            WAYS[way],
            *(f"{document[way][name]:.1f}" for name in names),
            f"{document[way]['queries']:,}",
            f"{document[way]['positives']:,}",
        )
        for way in ("i2t", "t2i")
    )
    return [PlainTable("All right answers", ("direction", *names, "queries", "right"), rows)]


_PROTOCOLS: dict[str, Callable[[Mapping[str, Any]], list[PlainTable]]] = {
    "cxc": _cxc,
    "eccv": _eccv,
    "pmrp": _plausible,
    "precision": _precision,
    "normalised": _normalised,
}


def as_markdown(table: PlainTable) -> str:
    """A table as GitHub's Markdown, with its title above and its note below."""

    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = line(("---", *("---:" for _ in table.heads[1:])))
    parts = [f"**{table.title}**", ""]
    parts += [line(table.heads), rule, *map(line, table.rows)]
    return "\n".join([*parts, *(["", table.note] if table.note else [])])


def as_latex(table: PlainTable) -> str:
    """A table as LaTeX with the rules of `booktabs`; title and note stand as comments."""

    def line(cells: tuple[str, ...]) -> str:
        return "  " + " & ".join(map(_latex, cells)) + r" \\"

    parts = [f"% {table.title}" + (f"; {table.note}" if table.note else "")]
    parts += [rf"\begin{{tabular}}{{l{'r' * (len(table.heads) - 1)}}}", r"  \toprule"]
    parts += [line(table.heads), r"  \midrule", *map(line, table.rows), r"  \bottomrule"]
    return "\n".join([*parts, r"\end{tabular}"])


_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _latex(text: str) -> str:
    return re.sub(r"[\\~^&%$#_{}]", lambda one: _SPECIAL.get(one[0], "\\" + one[0]), text)


def as_html(table: PlainTable) -> str:
    """A table as HTML, its title in a caption."""
    heads = "".join(f"<th>{escape(head)}</th>" for head in table.heads[1:])
    rows = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in table.rows
    )
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="scroll"><table class="further"><caption>{escape(table.title)}</caption>'
        f"<thead><tr><td>{escape(table.heads[0])}</td>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>{note}"
    )
