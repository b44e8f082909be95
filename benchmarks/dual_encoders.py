"""A CLIP ViT-B/32 of 256 pixels: our commands beside rclip's on the same files, and int8.

    python benchmarks/dual_encoders.py ~/Pictures --rclip .venv-rclip/bin/rclip
    python benchmarks/dual_encoders.py ~/Pictures --rclip ... --count 100 --rounds 5 --folder made

The weights are random and the vocabulary is made up, both of the true size, so that nothing is
downloaded: what is found means nothing, and what it costs is the same. Both programs get the same
two graphs and the same photographs, start cold, and take turns. Seconds are the processor's, with
children; memory is the largest sum over a command and its children. An index of rclip ends in a
search, whose cost, measured alone, is subtracted; of ours nothing is.

Needs the extra `train`, which writes the model, and rclip in an environment of its own
(`pip install rclip==3.3.0`).
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import os
import shutil
import statistics
import string
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cold_start import wait_for
from user_itr.data.pictures import as_rgb
from user_itr.runtime.loading import load

SIDE = 256
RCLIP_MODEL = "ViT-B-32-256-datacomp_s34b_b86k"
QUERY = "two dogs"
SENTENCES = [f"{count} {what}" for count in ("a", "two", "many") for what in ("dogs", "red boats")]


class Spent(NamedTuple):
    """Of one command: processor seconds, and megabytes at most."""

    seconds: float
    megabytes: float


def merges() -> list[tuple[str, str]]:
    """As many merges as CLIP's vocabulary has, of made-up words."""
    letters = string.ascii_lowercase
    pairs = ["".join(pair) for pair in itertools.product(letters, letters)]
    ends = [f"{letter}</w>" for letter in letters]
    found = [
        *itertools.product(letters, letters),
        *itertools.product(letters, ends),
        *itertools.product(pairs, letters),
        *itertools.product(pairs, ends),
        *itertools.product(pairs, pairs),
    ]
    return found[: 49152 - 256 - 2]


def write_model(folder: Path) -> None:
    """A checkpoint of random weights and its ONNX files, in the layout of transformers.js."""
    import onnx
    import torch
    import transformers
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    torch.manual_seed(0)
    library: Any = transformers
    alphabet = sorted(
        library.models.gpt2.tokenization_gpt2.pre_tokenizers.ByteLevel.alphabet(), key=ord
    )
    known = merges()
    words = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *("".join(two) for two in known)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: place for place, word in enumerate(words)}
    tokenizer = library.CLIPTokenizer(vocabulary, known, model_max_length=77)
    size = {"height": SIDE, "width": SIDE}
    config = library.CLIPConfig(
        text_config={"hidden_act": "gelu", "eos_token_id": len(words) - 1},
        vision_config={"hidden_act": "gelu", "image_size": SIDE},
    )
    checkpoint = folder / "checkpoint"
    library.CLIPModel(config).eval().save_pretrained(checkpoint)
    tokenizer.save_pretrained(checkpoint)
    CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=size).save_pretrained(checkpoint)
    made = load(checkpoint)
    model = folder / "model"
    (model / "onnx").mkdir(parents=True)
    for file in checkpoint.glob("*.json"):
        shutil.copy(file, model)
    for file in (made.graphs.text, made.graphs.vision):
        onnx.save_model(onnx.load(file), model / "onnx" / file.name)
    write_int8(model / "onnx")
    write_for_rclip(folder, known)


def write_int8(folder: Path) -> None:
    """Quantised variants, by ONNX Runtime's own tool."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    for side in ("text", "vision"):
        quantize_dynamic(
            folder / f"{side}_model.onnx",
            folder / f"{side}_model_int8.onnx",
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
        )


def write_for_rclip(folder: Path, known: list[tuple[str, str]]) -> None:
    """The same graphs and words where rclip looks for its own."""
    import onnx

    place = folder / "rclip" / RCLIP_MODEL
    place.mkdir(parents=True)
    for side, name in (("text", "textual"), ("vision", "visual")):
        graph = onnx.load(folder / "model" / "onnx" / f"{side}_model.onnx")
        names = {graph.graph.input[0].name: "input", graph.graph.output[0].name: "output"}
        for node in graph.graph.node:
            node.input[:] = [names.get(one, one) for one in node.input]
            node.output[:] = [names.get(one, one) for one in node.output]
        graph.graph.input[0].name, graph.graph.output[0].name = "input", "output"
        onnx.save_model(graph, place / f"{name}.onnx")
    words = folder / "rclip" / "tokenizer" / "bpe_simple_vocab_16e6.txt.gz"
    words.parent.mkdir()
    lines = ["#version: made up", *(" ".join(two) for two in known), ""]
    words.write_bytes(gzip.compress("\n".join(lines).encode()))


def family_of(process: int) -> list[int]:
    """A process and its descendants."""
    found = [process]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def held_by(process: int) -> float:
    """Megabytes of a process and its descendants, shared pages counted once."""
    total = 0.0
    for one in family_of(process):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(float(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return total


def spend(words: list[object], at: Path, environment: dict[str, str]) -> Spent:
    """What a command that has to succeed costs."""
    process = subprocess.Popen(
        [str(word) for word in words],
        cwd=at,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    most, ended = 0.0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.02):
            most = max(most, held_by(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert process.stderr is not None
    said = process.stderr.read()
    cost = wait_for(process, time.monotonic())
    ended.set()
    watcher.join()
    if process.returncode not in (0, 1):
        raise SystemExit(f"{words[0]} failed: {said}")
    return Spent(cost.seconds, max(most, cost.megabytes))


def sides_of(
    command: str, rclip: str, folder: Path, photos: Path
) -> dict[str, Callable[[], Spent]]:
    """What is measured, by its name; indexes are made anew each time."""
    index, data = folder / "index", folder / "rclip"
    ours = {"XDG_CACHE_HOME": str(folder / "cache")}
    theirs = {"RCLIP_DATADIR": str(data), "HF_HUB_OFFLINE": "1"}

    def our_index() -> Spent:
        shutil.rmtree(index, ignore_errors=True)
        model = folder / "model"
        return spend([command, "index", photos, "--model", model, "--index", index], folder, ours)

    def their_index() -> Spent:
        for file in data.glob("db.sqlite3*"):
            file.unlink()
        return spend([rclip, QUERY], photos, theirs)

    return {
        "index, ours": our_index,
        "index, rclip": their_index,
        "search, ours": lambda: spend([command, "search", QUERY, "--index", index], folder, ours),
        "search, rclip": lambda: spend([rclip, "--no-indexing", QUERY], photos, theirs),
    }


def commands(asked: argparse.Namespace, folder: Path, photos: Path) -> None:
    """Print what the commands cost, by turns."""
    spent: dict[str, list[Spent]] = {}
    sides = sides_of(asked.command, asked.rclip, folder, photos)
    for number in range(asked.rounds + 1):
        for name, work in sides.items():
            cost = work()
            if number:  # the first brings files into memory
                spent.setdefault(name, []).append(cost)
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    seconds = {
        name: (min(one.seconds for one in costs), statistics.median(one.seconds for one in costs))
        for name, costs in spent.items()
    }
    print(f"{'':<28} {'best':>9} {'median':>9} {'memory':>9}")
    memory = {name: max(one.megabytes for one in costs) for name, costs in spent.items()}
    for name, (best, median) in seconds.items():
        print(f"{name:<28} {best:>7.2f} s {median:>7.2f} s {memory[name]:>6.0f} MB")
    photographs = len(list(photos.iterdir()))
    ours = [value / photographs for value in seconds["index, ours"]]
    theirs = [
        (whole - search) / photographs
        for whole, search in zip(seconds["index, rclip"], seconds["search, rclip"], strict=True)
    ]
    for name, values in (("ours", ours), ("rclip", theirs)):
        print(f"{f'a photograph, {name}':<28} {values[0]:>7.3f} s {values[1]:>7.3f} s")
    searches = zip(seconds["search, ours"], seconds["search, rclip"], strict=True)
    pairs = {"search": searches, "a photograph": zip(ours, theirs, strict=True)}
    for name, both in pairs.items():
        best, median = (mine / other for mine, other in both)
        print(f"{f'ours / rclip, {name}':<28} {best:>9.2f} {median:>9.2f}")
    for what in ("index", "search"):
        ratio = memory[f"{what}, ours"] / memory[f"{what}, rclip"]
        print(f"{f'ours / rclip, memory, {what}':<48} {ratio:>9.2f}")


def precisions(folder: Path, photos: Path, rounds: int) -> None:
    """Print how fast int8 is beside float32, and how near."""
    onnx = folder / "model" / "onnx"
    suffixes = {"float32": "", "int8": "_int8"}
    models = {name: load(onnx / f"vision_model{end}.onnx") for name, end in suffixes.items()}
    files = sorted(photos.iterdir())[:32]
    pixels = np.stack([models["float32"].preprocess(as_rgb(file)) for file in files])
    vectors: dict[str, list[np.ndarray]] = {}
    seconds: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for name, model in models.items():
            for side, work in (
                ("images", lambda model=model: model.encode_pixels(pixels)),
                ("texts", lambda model=model: model.encode_text(SENTENCES * 8)),
            ):
                started = time.process_time()
                made = work()
                if number:
                    seconds.setdefault(f"{name} {side}", []).append(time.process_time() - started)
                vectors.setdefault(f"{name} {side}", []).append(made)
    for side in ("images", "texts"):
        exact, small = seconds[f"float32 {side}"], seconds[f"int8 {side}"]
        ratios = min(exact) / min(small), statistics.median(exact) / statistics.median(small)
        cosines = (vectors[f"float32 {side}"][0] * vectors[f"int8 {side}"][0]).sum(axis=1)
        print(
            f"{f'int8, {side}':<28} {ratios[0]:>6.2f} / {ratios[1]:.2f} times as fast, "
            f"cosine at least {cosines.min():.4f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path, help="folder of photographs")
    parser.add_argument("--rclip", required=True, help="rclip's command")
    parser.add_argument("--command", default=shutil.which("user-itr"), help="user-itr to measure")
    parser.add_argument("--count", type=int, default=100, help="photographs, the first by name")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="keeps the model for another time")
    asked = parser.parse_args()
    if asked.command is None:
        raise SystemExit("no user-itr on the PATH; name it with --command")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed: its modules are compiled
    with tempfile.TemporaryDirectory() as made:
        folder = (asked.folder or Path(made)).resolve()
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        if not (folder / "rclip" / "tokenizer").is_dir():
            write_model(folder)
        photos = Path(made, "photos").resolve()
        photos.mkdir()
        for file in sorted(asked.photos.rglob("*.jpg"))[: asked.count]:
            shutil.copy(file, photos)
        commands(asked, folder, photos)
        precisions(folder, photos, asked.rounds)


if __name__ == "__main__":
    main()
