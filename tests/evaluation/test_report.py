from __future__ import annotations

from rich.console import Console

from user_itr.evaluation.intervals import CrossModalIntervals, DirectionIntervals, Interval
from user_itr.evaluation.metrics import CrossModalMetrics, RetrievalMetrics
from user_itr.evaluation.report import metrics_table

METRICS = CrossModalMetrics(
    i2t=RetrievalMetrics({1: 25.25, 10: 100 / 3}, 4.5, 12.34, queries=999, candidates=5000),
    t2i=RetrievalMetrics({1: 20.0, 10: 60.0}, 7.0, 8.0, queries=5000, candidates=1000),
)


def test_table_as_printed():
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(metrics_table(METRICS, "flickr8k, dev"))
    lines = [line.strip() for line in capture.get().splitlines()]
    cells = [" ".join(line.replace("│", " ").replace("┃", " ").split()) for line in lines]
    assert lines[0] == "flickr8k, dev"
    assert "direction R@1 R@10 median mean queries among" in cells
    assert "image to text 25.2 33.3 4.5 12.3 999 5000" in cells
    assert "text to image 20.0 60.0 7 8.0 5000 1000" in cells
    assert lines[-1] == "rsum 138.6, mR 34.6, pessimistic ties"


def test_intervals_stand_below_their_recalls():
    def side(*values):
        intervals = [Interval(*one) for one in values]
        return DirectionIntervals(
            dict(zip((1, 10), intervals, strict=True)), Interval(1, 1, 1), Interval(1, 1, 1)
        )

    intervals = CrossModalIntervals(
        side((25.25, 20, 30.04), (33.3, 30, 40)),
        side((20, 15, 25), (60, 55.55, 66)),
        Interval(138.6, 130, 150),
        resamples=10,
        seed=0,
    )
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(metrics_table(METRICS, "flickr8k, dev", intervals))
    lines = [" ".join(line.split()) for line in capture.get().splitlines()]
    at = lines.index("image to text 25.2 33.3 4.5 12.3 999 5000")
    assert lines[at + 1] == "20.0-30.0 30.0-40.0"
    assert lines[at + 3] == "15.0-25.0 55.5-66.0"
    caption = "rsum 138.6 (130.0 to 150.0), mR 34.6, pessimistic ties, 95 % intervals over images"
    assert " ".join(lines).rstrip().endswith(caption)
