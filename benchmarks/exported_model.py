"""What an exported model loses and gains: recall of dev by PyTorch and by ONNX Runtime, one run.

    python benchmarks/exported_model.py flickr8k                     # the model that ships
    python benchmarks/exported_model.py flickr8k --model FOLDER --images 200

Both sides embed the same image files and captions; the seconds are the processor's. The baseline is
the checkpoint in the same folder; of an int8 export, which has none, name the run with --against.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np

from user_itr.data.readers import load_captions
from user_itr.evaluation.metrics import evaluate_embeddings
from user_itr.model import embedder
from user_itr.pretrained import DEFAULT
from user_itr.runtime.loading import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="captioned set")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--model", default=DEFAULT, help="exported model")
    parser.add_argument("--against", help="checkpoint or run; by default the same folder")
    parser.add_argument("--images", type=int, help="the first ones alone")
    asked = parser.parse_args()
    split = load_captions(asked.data, asked.split)
    assert split.image_paths is not None
    count = min(asked.images or len(split.image_ids), len(split.image_ids))
    rows = np.flatnonzero(split.caption_image < count)
    split = dataclasses.replace(split, captions=tuple(split.captions[row] for row in rows))
    owners = split.caption_image[rows]
    sides = {
        "PyTorch": embedder.load(asked.against or asked.model, "cpu", "torch"),
        "ONNX Runtime": load(asked.model),
    }
    found = {}
    for name, model in sides.items():
        started = time.process_time()
        images = model.encode_images(split.image_paths[:count])
        between = time.process_time()
        captions = model.encode_text(split.captions)
        ended = time.process_time()
        found[name] = images, captions
        rsum = evaluate_embeddings(images, captions, owners).rsum
        print(
            f"{name:<13} {asked.split} rsum {rsum:.2f}   {count / (between - started):.1f} images "
            f"and {len(captions) / (ended - between):.0f} captions a processor second"
        )
    for what, theirs, ours in zip(("images", "captions"), *found.values(), strict=True):
        print(f"least cosine of {what}: {(theirs * ours).sum(axis=1).min():.6f}")


if __name__ == "__main__":
    main()
