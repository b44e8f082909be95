from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from user_itr.errors import ConfigError, DataError
from user_itr.evaluation import RetrievalAccumulator, accumulator, api, evaluate

sys.path.append(str(Path(__file__).parent))
from oracles import best_rank, score_matrix

OWNER = np.array([0, 0, 1, 2, 2, 2, 4, 4, 5])


def vectors(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    images = random.normal(size=(6, 8))
    return images, images[OWNER] + random.normal(size=(9, 8))


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("module", [api, accumulator])
def test_examples(module: object) -> None:
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert found.attempted > 3
    assert found.failed == 0


@pytest.mark.parametrize("form", ["arrays", "tensors", "matrix", "tensor matrix", "ids"])
def test_every_form_has_the_ranks_of_plain_sorting(form: str) -> None:
    images, captions = vectors()
    matrix = score_matrix(unit(images), unit(captions))
    order, other = np.random.default_rng(1).permutation(6), np.random.default_rng(2).permutation(9)
    found = {
        "arrays": lambda: evaluate(images, captions, OWNER),
        "tensors": lambda: evaluate(*map(torch.from_numpy, (images, captions, OWNER))),
        "matrix": lambda: evaluate(matrix, caption_image=OWNER.tolist()),
        "tensor matrix": lambda: evaluate(torch.from_numpy(matrix), caption_image=OWNER),
        "ids": lambda: evaluate(
            images[order],
            captions[other],
            image_ids=[f"i{row}" for row in order],
            caption_ids=torch.from_numpy(other),
            caption_image_ids=[f"i{OWNER[row]}" for row in other],
        ),
    }[form]()
    i2t = {
        row: best_rank(matrix[row], np.flatnonzero(row == OWNER).tolist())
        for row in np.unique(OWNER).tolist()
    }
    t2i = {row: best_rank(matrix[:, row], [int(OWNER[row])]) for row in range(9)}
    names = (found.image_ids, found.caption_ids)
    for ranks, keys, expected in (
        (found.ranks.i2t, names[0], i2t),
        (found.ranks.t2i, names[1], t2i),
    ):
        got = {
            int(str(keys[row]).lstrip("i")): rank
            for row, rank in zip(ranks.queries.tolist(), ranks.ranks().tolist(), strict=True)
        }
        assert got == expected
    assert found.rsum == pytest.approx(6 * found.mean_recall)


def test_repeated_rows_of_one_id_are_taken_once() -> None:
    images, captions = vectors()
    found = evaluate(images, captions, OWNER)
    repeated = evaluate(images[OWNER], captions, image_ids=OWNER, caption_image_ids=OWNER)
    # Image 3 has no caption, and so no row here.
    assert repeated.metrics.t2i.candidates == 5
    again = np.append(np.arange(9), [0, 8])
    padded = evaluate(
        images, captions[again], OWNER[again], caption_ids=again, image_ids=list("abcdef")
    )
    assert padded.metrics == found.metrics
    matrix = unit(images)[OWNER] @ unit(captions).T
    square = evaluate(matrix, image_ids=OWNER, caption_image_ids=OWNER)
    assert square.metrics == repeated.metrics
    spoilt = images[OWNER]
    spoilt[1] += 0.1
    with pytest.raises(DataError, match="images, rows 0 and 1: have one id and differ"):
        evaluate(spoilt, captions, image_ids=OWNER, caption_image_ids=OWNER)


def test_products_intervals_folds_and_precision() -> None:
    images, captions = vectors()
    found = evaluate(images, captions, OWNER, resamples=50, normalise=False, ks=(1, 2))
    products = evaluate(images @ captions.T, caption_image=OWNER, ks=(1, 2))
    assert found.metrics == products.metrics
    assert found.intervals is not None
    assert found.intervals.rsum.value == pytest.approx(found.rsum)
    assert found.precision["t2i"].r_precision == pytest.approx(found.metrics.t2i.recall[1])
    assert set(found.to_dict()) == {"metrics", "intervals", "folded"}
    folded = evaluate(images[[0, 1, 2, 4]], captions[[0, 2, 3, 6]], [0, 1, 2, 3], folds=2).folded
    assert folded is not None
    assert [fold.t2i.candidates for fold in folded.folds] == [2, 2]


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({}, ConfigError, "give what is right as caption_image, or as caption_image_ids"),
        ({"caption_image_ids": OWNER}, ConfigError, "give image_ids, too"),
        ({"caption_image": OWNER[:-1]}, DataError, "8 captions are given, and there are 9"),
        ({"caption_image": OWNER + 1}, DataError, "entry 8: row 6 is outside the 6 images"),
        ({"caption_image": OWNER, "image_ids": [1]}, DataError, "image_ids holds 1 ids for 6"),
        (
            {"caption_image_ids": ["x"] * 9, "image_ids": list("abcdef")},
            DataError,
            "names 'x', which is not in image_ids",
        ),
        ({"caption_image": OWNER, "resamples": -1}, ConfigError, "resamples is -1"),
        (
            {"caption_image": OWNER, "caption_ids": [0, 1, 1, 3, 4, 5, 6, 7, 8]},
            DataError,
            "caption_ids: 1 is there with two images",
        ),
    ],
)
def test_mistakes(more: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        evaluate(*vectors(), **more)  # type: ignore[arg-type]


def test_batches_give_the_figures_of_the_whole() -> None:
    images, captions = vectors()
    whole = evaluate(images, captions, OWNER, image_ids=range(6))
    found = RetrievalAccumulator()
    with pytest.raises(DataError, match="nothing was added"):
        found.compute()
    for start in range(0, 9, 4):  # pairs: images come again
        rows = slice(start, start + 4)
        found.update(torch.from_numpy(images[OWNER[rows]]), captions[rows], image_ids=OWNER[rows])
    found.update(images[[3]], captions[:0], image_ids=[3], caption_image_ids=[])
    assert found.compute().metrics == whole.metrics
    found.reset()
    found.update(images, captions, image_ids=range(6), caption_image_ids=OWNER)
    assert found.compute().metrics == whole.metrics
    with pytest.raises(DataError, match="caption_image_ids holds 6 ids for 9 rows"):
        found.update(images, captions, image_ids=range(6))
    found.update(images[:1], captions[:1], image_ids=[0], caption_ids=[0])
    with pytest.raises(DataError, match="in some calls of update, not in all"):
        found.compute()


RANKS = """
import sys
import numpy as np, torch
from user_itr.evaluation import RetrievalAccumulator
rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
images, captions, owner = (np.load(f"{folder}/{n}.npy") for n in ("images", "captions", "owner"))
found = RetrievalAccumulator(resamples=20)
# As DistributedSampler cuts: every second row, padded from the beginning to 5 rows each.
rows = np.append(np.arange(len(owner)), 0)[rank::2]
for part in (rows[:2], rows[2:]):
    found.update(images[owner[part]], captions[part], image_ids=owner[part], caption_ids=part)
done = found.compute()
print(repr((done.metrics, done.intervals)))
torch.distributed.destroy_process_group()
"""


def test_two_ranks_give_the_figures_of_one(tmp_path: Path) -> None:
    images, captions = vectors()
    for name, values in (("images", images), ("captions", captions), ("owner", OWNER)):
        np.save(tmp_path / f"{name}.npy", values)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RANKS, str(rank), str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    alone = evaluate(
        images[OWNER], captions, image_ids=OWNER, caption_image_ids=OWNER, resamples=20
    )
    metrics = repr(alone.metrics)
    assert all(metrics in one for one in said)
    assert said[0] == said[1]


WITHOUT = """
import sys
REFUSED = ("torch", "lightning", "transformers", "safetensors", "pyarrow", "lancedb", "yaml")
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Refuse())
import numpy as np
from user_itr.evaluation import evaluate
images = np.eye(3)
assert evaluate(images, images, [0, 1, 2], resamples=10).rsum == 600
from user_itr.cli.evaluate import evaluate_command
import typer
app = typer.Typer()
app.command()(evaluate_command)
app(sys.argv[1:])
"""


def test_arrays_need_no_torch(tmp_path: Path) -> None:
    images, captions = vectors()
    (tmp_path / "e").mkdir()
    np.save(tmp_path / "e" / "images.npy", images)
    np.save(tmp_path / "e" / "captions.npy", captions)
    np.save(tmp_path / "owner.npy", OWNER)
    words = [str(tmp_path / "e"), "--caption-image", str(tmp_path / "owner.npy"), "--precision"]
    words += ["--report", str(tmp_path / "page.html"), "--trec", str(tmp_path / "trec")]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *words, "--json", str(tmp_path / "out.json")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "rsum" in done.stdout
    assert (tmp_path / "out.json").is_file()
    for ending, extra in ((".pt", "train"), (".safetensors", "train"), (".parquet", "bulk")):
        file = tmp_path / f"s{ending}"
        file.write_bytes(b"anything")
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT, str(file), *words[1:3]],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode != 0
        said = "".join(done.stderr.split())  # a traceback's lines are broken anywhere
        assert f"MissingExtraError:{file}needsmorepackages" in said
        assert f"pipinstall'user-itr[{extra}]'" in said
