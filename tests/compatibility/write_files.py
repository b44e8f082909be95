"""Writes `files-VERSION/`: every file that a release writes, small, for later releases to read.

    python tests/compatibility/write_files.py

Run once a release, by the release itself, and commit what it writes; never write over the folder of
a release that is out. Nothing in it is of a real data set, and no path is of the writer's machine.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from user_itr import __version__, load
from user_itr.ablation.measurement import measure_run
from user_itr.bulk.encoding import encode_collection
from user_itr.cli import main
from user_itr.features.extraction import extract_features
from user_itr.search.index import ImageIndex
from user_itr.search.sentences import SentenceStore

sys.path.append(str(Path(__file__).parents[1] / "training"))
sys.path.append(str(Path(__file__).parents[1] / "features"))
sys.path.append(str(Path(__file__).parents[1] / "search"))
from colour_encoder import PALETTE, ColourEncoder, paint
from feature_helpers import QuadrantMeans
from tiny_runs import silent, start, tiny_settings, write_scan_set

HERE = Path(__file__).parent
PHOTOS = Path(tempfile.gettempdir()) / "user-itr-photos"
"""The index records where its photos were; they need not be there any more."""


def write(out: Path) -> None:
    """Write all files into a new folder `out`, a relative path, so that no other is recorded."""
    out.mkdir()
    data = write_scan_set(out / "things", train=8, dev=4)
    small = ("model.embedding=8", "model.text.gru_width=8", "model.text.word_width=4")
    settings = tiny_settings(data, "training.epochs=1", "momentum.queue_length=5", *small)
    start(settings, out / "run").fit()
    measure_run(out / "run", minutes=0.5, progress=silent)
    with suppress(SystemExit):
        written = str(out / "evaluation.json")
        main(["evaluate", str(out / "run"), "--split", "dev", "--json", written])

    shutil.rmtree(PHOTOS, ignore_errors=True)
    photos = [paint(PHOTOS / f"{colour}.png", colour) for colour in PALETTE]
    extract_features([(p.name, p) for p in photos], QuadrantMeans(), out / "store", batch_size=3)
    encoder = ColourEncoder()
    index = ImageIndex.create_or_open(out / "index", encoder, "colours")
    index.update(PHOTOS, encoder)
    SentenceStore(index).replace(["something red", "something blue"], encoder)
    encode_collection([PHOTOS], out / "collection", ColourEncoder, "colours", workers=1)
    shutil.rmtree(PHOTOS)

    model = load(out / "run")
    np.savez(
        out / "expected.npz",
        images=model.encode_regions(np.load(out / "things" / "dev_ims.npy")),
        captions=model.encode_text(["a dog and a cat", "the old boat"]),
    )


if __name__ == "__main__":  # `encode_collection` starts processes
    os.chdir(HERE)
    write(Path(f"files-{__version__}"))
