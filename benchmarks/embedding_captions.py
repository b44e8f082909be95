"""Embed the captions of a split with a BERT of bert-base-uncased's size, by turns in two ways.

    python benchmarks/embedding_captions.py --data flickr8k --split dev --captions 1000

"plain" encodes every caption, in batches of 256 of like length, as `evaluate` did before 0.2;
"embedder" is what it does now: each text once, at most 1,024 tokens a pass on a CPU; "bfloat16" is
the same by `evaluate --text-dtype bfloat16`. Weights are random, captions are those of the set.
Seconds are of the processor, over all threads, because other work on a machine changes those of
the clock.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from synthetic_scan import WIDTH, write_bert_base
from user_itr.config.loading import load_settings
from user_itr.data.readers import load_captions
from user_itr.model.building import build_dual_encoder
from user_itr.model.checkpoint import TrainedModel
from user_itr.model.embedder import Embedder
from user_itr.model.tokenizer import CaptionTokenizer, TokenizedCaptions

BATCH = 256


@torch.inference_mode()
def plain(embedder: Embedder, captions: TokenizedCaptions) -> np.ndarray:
    """Every caption, in batches of like length."""
    embeddings = np.empty((len(captions), embedder.dim), dtype=np.float32)
    order = np.argsort(captions.lengths, kind="stable")
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        ids, mask = captions.padded(rows)
        embeddings[rows] = embedder.encoder.text(ids, mask).numpy()
    return embeddings


def seconds(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def main(arguments: argparse.Namespace) -> None:
    captions = load_captions(arguments.data, arguments.split).captions[: arguments.captions]
    with tempfile.TemporaryDirectory() as folder:
        bert = write_bert_base(Path(folder) / "bert-base")
        settings = load_settings("flickr30k", model={"text.encoder": str(bert)})
        tokenizer = CaptionTokenizer.pretrained(str(bert), None)
        encoder = build_dual_encoder(settings.model, WIDTH, tokenizer.vocabulary_size)
    identity = {"backbone": "precomputed"}
    model = TrainedModel(settings, encoder, None, tokenizer, identity, None, None)
    embedder = Embedder(model, "cpu")
    copied = replace(model, encoder=copy.deepcopy(encoder))
    low = Embedder(copied, "cpu", text_dtype="bfloat16")
    tokens = tokenizer(captions)
    distinct = len(tokens.distinct()[0])
    print(
        f"{len(captions):,} captions, {distinct:,} texts, {int(tokens.lengths.sum()):,} tokens; "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    for turn in range(arguments.turns):
        before, expected = seconds(lambda: plain(embedder, tokens))
        after, found = seconds(lambda: embedder.encode_tokens(tokens))
        fast, near = seconds(lambda: low.encode_tokens(tokens))
        worst, far = ((expected * one).sum(axis=1).min() for one in (found, near))
        print(
            f"turn {turn + 1}: plain {before:.1f} s; embedder {after:.1f} s, "
            f"{before / after:.2f} times, least cosine {worst:.7f}; bfloat16 {fast:.1f} s, "
            f"{before / fast:.2f} times, {far:.5f}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--captions", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=2)
    main(parser.parse_args())
