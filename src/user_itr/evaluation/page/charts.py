"""Charts as inline SVG that print, scale and say their values to a screen reader."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import TypeAlias

import numpy as np

WIDTH, HEIGHT = 560, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 24, 12, 40
_Axis: TypeAlias = Callable[[float], float]
_NAMES = ("image to text", "text to image")


def curve_ks(candidates: int) -> list[int]:
    """K from 1 to at most 1,000 and the candidates, in steps that look even on a log axis."""
    last = max(1, min(1000, candidates))
    steps = np.unique(np.geomspace(1, last, 40).round().astype(int))
    return [int(k) for k in steps]


def recall_curve(series: Sequence[tuple[Sequence[int], Sequence[float]]]) -> str:
    """Recall in percent over K on a log axis; one (ks, recalls) pair a direction."""
    last = max(max(ks) for ks, _ in series)
    span = math.log(last) or 1.0

    def x(k: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * math.log(k) / span

    def y(recall: float) -> float:
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - recall / 100)

    parts = [_grid(x, y, [k for k in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if k <= last])]
    for index, (ks, recalls) in enumerate(series):
        points = " ".join(f"{x(k):.1f},{y(r):.1f}" for k, r in zip(ks, recalls, strict=True))
        parts.append(f'<polyline class="line s{index}" points="{points}"/>')
        parts += [
            f'<circle class="dot s{index}" cx="{x(k):.1f}" cy="{y(r):.1f}" r="3">'
            f"<title>{_NAMES[index]}: R@{k} {r:.1f} %</title></circle>"
            for k, r in zip(ks, recalls, strict=True)
        ]
    return _svg("Recall in percent over K", "K (log scale)", parts)


def rank_histogram(ranks: Sequence[np.ndarray]) -> str:
    """Share of queries by rank, in bins that double; one array of ranks a direction."""
    last = max(int(np.ceil(one.max())) for one in ranks)
    edges = [1]
    while edges[-1] <= last:
        edges.append(edges[-1] * 2)
    shares = [100 * histogram(one, edges) / len(one) for one in ranks]
    top = max(10.0, 10.0 * math.ceil(max(float(share.max()) for share in shares) / 10))
    step = (WIDTH - _LEFT - _RIGHT) / (len(edges) - 1)

    def y(share: float) -> float:
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - share / top)

    parts = [_ticks(y, [top * i / 5 for i in range(6)])]
    bar = step * 0.4
    for place in range(len(edges) - 1):
        low, high = edges[place], edges[place + 1] - 1
        label = f"{low}" if low == high else f"{low}-{high}"
        left = _LEFT + step * (place + 0.1)
        for index, share in enumerate(shares):
            value = float(share[place])
            parts.append(
                f'<rect class="bar s{index}" x="{left + bar * index:.1f}" y="{y(value):.1f}" '
                f'width="{bar:.1f}" height="{y(0) - y(value):.1f}">'
                f"<title>{_NAMES[index]}, rank {label}: {value:.1f} %</title></rect>"
            )
        parts.append(
            f'<text class="tick" text-anchor="middle" x="{left + bar:.1f}" '
            f'y="{HEIGHT - _BOTTOM + 16}">{low}</text>'
        )
    return _svg("Share of queries in percent by rank", "rank, each bar from here on", parts)


def histogram(ranks: np.ndarray, edges: Sequence[int]) -> np.ndarray:
    """Queries of each bin [edge, next edge): (len(edges) - 1,) int64."""
    places = np.searchsorted(np.asarray(edges), ranks, side="right") - 1
    return np.bincount(places, minlength=len(edges) - 1)


def _grid(x: _Axis, y: _Axis, ks: Sequence[int]) -> str:
    lines = [_ticks(y, (0, 20, 40, 60, 80, 100))]
    lines += [
        f'<text class="tick" text-anchor="middle" x="{x(k):.1f}" '
        f'y="{HEIGHT - _BOTTOM + 16}">{k}</text>'
        for k in ks
    ]
    return "".join(lines)


def _ticks(y: _Axis, values: Sequence[float]) -> str:
    return "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text class="tick" text-anchor="end" x="{_LEFT - 6}" y="{y(v) + 4:.1f}">{v:g}</text>'
        for v in values
    )


def _svg(label: str, axis: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f'{"".join(parts)}<text class="axis" text-anchor="middle" '
        f'x="{(WIDTH + _LEFT) / 2}" y="{HEIGHT - 6}">{escape(axis)}</text></svg>'
    )
