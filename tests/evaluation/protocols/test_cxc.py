from __future__ import annotations

import numpy as np
import pytest

from user_itr.errors import DataError
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.protocols.cxc import cxc_metrics, read_cxc

HEADERS = {"sits": "caption,image", "sis": "image1,image2", "sts": "caption1,caption2"}


class Split:
    """Twelve images with one to four captions in mixed order, and rated pairs of all kinds."""

    def __init__(self, folder, seed=0, split="test"):
        random = np.random.default_rng(seed)
        self.folder = folder
        self.coco_ids = tuple(int(one) for one in random.permutation(1000)[:12])
        self.caption_image = random.permutation(np.repeat(np.arange(12), random.integers(1, 5, 12)))
        captions = len(self.caption_image)
        self.caption_ids = tuple(int(one) for one in random.permutation(9000)[:captions])
        kinds = {"image": 12, "caption": captions}
        self.rated = {}
        for task, header in HEADERS.items():
            sides = [kinds[name.rstrip("12")] for name in header.split(",")]
            self.rated[task] = [
                (int(random.integers(sides[0])), int(random.integers(sides[1])), score)
                for score in np.round(random.uniform(0, 5, 25), 2).tolist()
            ]
        self.rated["sis"] += [(0, 1, 2.5), (2, 3, 2.49)]
        self.rated["sts"] += [(0, 1, 3.0), (2, 3, 2.99), (3, 2, 3.5)]
        self.write(split)

    def name(self, kind, row):
        if kind.rstrip("12") == "image":
            return f"COCO_val2014_{self.coco_ids[row]:012}.jpg"
        return f"COCO_val2014:sentid:{self.caption_ids[row]}"

    def write(self, split):
        for task, header in HEADERS.items():
            a, b = header.split(",")
            lines = [f"{header},agg_score,sampling_method"]
            lines += [
                f"{self.name(a, i)},{self.name(b, j)},{score},method"
                for i, j, score in self.rated[task]
            ]
            unknown = {"image": "COCO_val2014_000000999999.jpg", "caption": "COCO_val2014:sentid:0"}
            lines.append(f"{unknown[a.rstrip('12')]},{self.name(b, 0)},5.0,method")
            (self.folder / f"{task}_{split}.csv").write_text("\r\n".join(lines) + "\r\n")

    def read(self, split="test"):
        return read_cxc(self.folder, split, self.coco_ids, self.caption_ids, self.caption_image)

    def right(self, direction, query, candidate):
        """The definition, pair by pair."""
        if direction == "i2t":
            return self.right("t2i", candidate, query)
        if direction == "t2i":
            rated = [s for i, j, s in self.rated["sits"] if (i, j) == (query, candidate)]
            return self.caption_image[query] == candidate or any(score >= 3 for score in rated)
        task, threshold = {"t2t": ("sts", 3), "i2i": ("sis", 2.5)}[direction]
        if query == candidate:
            return False
        if direction == "t2t" and self.caption_image[query] == self.caption_image[candidate]:
            return True
        pairs = {(query, candidate), (candidate, query)}
        return any(s >= threshold for i, j, s in self.rated[task] if (i, j) in pairs)


@pytest.mark.parametrize("seed", range(5))
def test_against_the_definition(tmp_path, seed):
    split = Split(tmp_path, seed)
    random = np.random.default_rng(seed + 100)
    values = {"i": random.integers(-2, 3, (12, 3)), "t": random.integers(-2, 3, (40, 3))}
    values["t"] = values["t"][: len(split.caption_image)]
    floats = {side: rows.astype(float) for side, rows in values.items()}
    found = cxc_metrics(
        split.read(),
        EmbeddingScores(floats["i"], floats["t"]),
        EmbeddingScores(floats["t"], floats["t"], ("captions", "captions")),
        EmbeddingScores(floats["i"], floats["i"], ("images", "images")),
        (1, 3),
    )
    assert list(found.directions) == ["i2t", "t2i", "t2t", "i2i"]
    for direction, metrics in found.directions.items():
        queries, candidates = values[direction[0]], values[direction[2]]
        ranks = []
        for query in range(len(queries)):
            scored = [
                (int(queries[query] @ candidates[c]), split.right(direction, query, c))
                for c in range(len(candidates))
                if direction in ("i2t", "t2i") or c != query
            ]
            best = max((score for score, right in scored if right), default=None)
            if best is not None:
                ranks.append(1 + sum(score >= best for score, right in scored if not right))
        assert metrics.queries == len(ranks)
        assert metrics.candidates == len(candidates) - (direction in ("t2t", "i2i"))
        assert metrics.mean_rank == pytest.approx(np.mean(ranks))
        assert metrics.median_rank == np.median(ranks)
        assert metrics.recall == pytest.approx(
            {k: 100 * np.mean([rank <= k for rank in ranks]) for k in (1, 3)}
        )
    assert found.to_dict()["i2i"] == found.directions["i2i"].to_dict()


def test_dev_is_val_and_raw_ratings_are_no_split(tmp_path):
    split = Split(tmp_path, split="val")
    (tmp_path / "sits_val_raw.csv").write_text("caption,image,score\n")
    truth = split.read("dev")
    assert truth.i2t.queries == 12
    with pytest.raises(DataError, match="no split 'test'; the splits of this set are: val"):
        split.read("test")
    (tmp_path / "sts_val.csv").unlink()
    with pytest.raises(DataError, match=r"sts_val\.csv"):
        split.read("dev")


def test_without_scores_of_one_side_there_is_no_such_direction(tmp_path):
    split = Split(tmp_path)
    scores = EmbeddingScores(np.ones((12, 2)), np.ones((len(split.caption_image), 2)))
    found = cxc_metrics(split.read(), scores)
    assert list(found.directions) == ["i2t", "t2i"]
    assert found.directions["i2t"].recall[1] == 0  # all scores are equal


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("sits", "COCO_val2014:sentid:x,COCO_val2014_1.jpg,3,m", "column 'caption': .*sentid:x'"),
        ("sits", "COCO_val2014:sentid:1,photo.jpg,3,m", "column 'image': 'photo.jpg' is no MSCOCO"),
        ("sis", "COCO_1.jpg,COCO_2.jpg,nan,m", "column 'agg_score': 'nan' is no rating from 0 to"),
        ("sts", "a:1,a:2,5.1,m", "column 'agg_score': '5.1'"),
        ("sts", "a:1,a:2,5", "3 columns under a header of 4"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, name, line, message):
    split = Split(tmp_path)
    file = tmp_path / f"{name}_test.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:4], line, *lines[4:]]))
    with pytest.raises(DataError, match=rf"{name}_test\.csv: line 5.*{message}"):
        split.read()


def test_other_files_and_items_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no sits_val\.csv or sits_test\.csv"):
        read_cxc(tmp_path, "test", (1,), (1,), np.array([0]))
    split = Split(tmp_path)
    with pytest.raises(DataError, match="images of this split have no MSCOCO ids"):
        read_cxc(tmp_path, "test", None, split.caption_ids, split.caption_image)
    again = (*split.coco_ids[:-1], split.coco_ids[0])
    with pytest.raises(DataError, match=r"images, row 0: id \d+ is also that of row 11"):
        read_cxc(tmp_path, "test", again, split.caption_ids, split.caption_image)
    others = tuple(number + 10_000 for number in split.coco_ids)
    with pytest.raises(DataError, match=r"sits_test\.csv: rates no pair of this split's items"):
        read_cxc(tmp_path, "test", others, split.caption_ids, split.caption_image)
    (tmp_path / "sis_test.csv").write_text("image1,image2,sampling_method\n")
    with pytest.raises(DataError, match=r"sis_test\.csv: line 1: no column 'agg_score'"):
        split.read()
