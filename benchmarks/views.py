"""What several views of a photograph gain and cost: recall of a split, processor time a photo.

    python benchmarks/views.py flickr8k
    python benchmarks/views.py flickr8k --model runs/flickr8k --views whole,mirror whole,centre-90

Each set of views is the same model otherwise; features are extracted once a view. The time is of
decoding, scaling and embedding photo files one after the other, the process's threads included.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from user_itr.cli.progress import progress_of
from user_itr.data.readers import load_captions
from user_itr.evaluation.metrics import evaluate_embeddings
from user_itr.features.regions import open_guides, open_regions
from user_itr.features.viewed import open_view
from user_itr.features.views import View
from user_itr.model.checkpoint import load_model
from user_itr.model.embedder import Embedder
from user_itr.model.exporting import with_views
from user_itr.pretrained import DEFAULT

SETS = (
    "whole",
    "whole,mirror",
    "whole,centre-85",
    "whole,mirror-centre-85",
    "whole,mirror,centre-85",
    "whole,mirror,mirror-centre-85",
    "whole,mirror,centre-85,mirror-centre-85",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="captioned set")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--model", default=DEFAULT, help="checkpoint, run or shipped model")
    parser.add_argument("--views", nargs="+", default=SETS, help="sets of views, with commas")
    parser.add_argument("--timed", type=int, default=64, help="photos whose time is taken")
    asked = parser.parse_args()
    model = load_model(asked.model)
    embedder = Embedder(model, "cpu")
    split = load_captions(asked.data, asked.split)
    backbone = str(model.features["backbone"])
    with progress_of("extracting features") as advance:
        [regions] = open_regions([split], backbone, asked.data, progress=advance)
    guides = None
    if embedder.needs_guides:
        assert model.guide is not None
        name = str(model.guide["backbone"])
        with progress_of("extracting guide embeddings") as advance:
            [opened] = open_guides([split], name, asked.data, None, advance, [regions])
        guides = opened.array[opened.rows, 0]
    seen = {"whole": regions}
    for name in dict.fromkeys(name for names in asked.views for name in names.split(",")[1:]):
        with progress_of(f"extracting features of the view {name}") as advance:
            seen[name] = open_view(View(name), split, regions, asked.data, progress=advance)
    captions = embedder.encode_text(split.captions)
    print("views | i2t R@1 | t2i R@1 | rsum | processor ms a photo")
    for names in asked.views:
        views = [(seen[name].array, seen[name].rows) for name in names.split(",")]
        images = embedder.encode_views(views, guides=guides)
        found = evaluate_embeddings(images, captions, split.caption_image)
        embedder = Embedder(with_views(model, names.split(",")), "cpu")
        paths = list(split.image_paths or ())[: asked.timed]
        embedder.encode_images(paths[:8])
        started = time.process_time()
        embedder.encode_images(paths)
        spent = 1000 * (time.process_time() - started) / len(paths)
        recalls = f"{found.i2t.recall[1]:.1f} | {found.t2i.recall[1]:.1f} | {found.rsum:.1f}"
        print(f"{names} | {recalls} | {spent:.0f}", flush=True)


if __name__ == "__main__":
    main()
