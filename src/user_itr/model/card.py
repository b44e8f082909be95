"""The card of an exported model: README.md with what the Hugging Face hub reads at its top."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from user_itr.errors import ConfigError
from user_itr.evaluation.metrics import CrossModalMetrics
from user_itr.runtime.exported import Exported

CARD_FILE = "README.md"

UNKNOWN_LICENCE = "unknown"
"""As the hub calls it; its page then says so."""

_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,39}")
_DIRECTIONS = (("i2t", "image to text"), ("t2i", "text to image"))


@dataclass(frozen=True)
class Figures:
    """What a model reaches on a split.

    Args:
        split: its name.
        images: how many it has.
        captions: how many it has.
        metrics: of the embeddings.
    """

    split: str
    images: int
    captions: int
    metrics: CrossModalMetrics


def check_licence(licence: str) -> str:
    """The licence, if the hub could know it by this name.

    Raises:
        ConfigError: if not.
    """
    if not _LICENCE.fullmatch(licence):
        raise ConfigError(
            f"--license {licence!r}: give the hub's name of one, such as apache-2.0, "
            f"cc-by-nc-4.0, other or {UNKNOWN_LICENCE}."
        )
    return licence


def model_card(
    title: str, exported: Exported, figures: Figures | None, licence: str = UNKNOWN_LICENCE
) -> str:
    """The whole file.

    Args:
        title: of the model, a line.
        exported: what is known of it.
        figures: of its dev split, where it was measured.
        licence: by the hub's name; see `check_licence`.
    """
    title = " ".join(title.split())
    parts = [
        f"---\n{_front_matter(title, figures, licence)}---\n",
        f"# {title}\n",
        "A dual encoder of images and sentences, written by `user-itr export`: a sentence and a "
        f"photograph become unit vectors of {exported.dim:,} numbers, whose dot product says how "
        "well they fit.\n",
        f"- model: {exported.description}\n"
        f"- precision: {exported.precision}\n"
        "- files: ONNX, safetensors and JSON; nothing in them is code\n",
        "## Use\n",
        "```console\n"
        "user-itr models get OWNER/NAME\n"
        "user-itr index ~/Pictures --model OWNER/NAME\n"
        'user-itr search "two dogs play in the snow"\n'
        "```\n",
        "```python\n"
        "from user_itr import load\n\n"
        'model = load("OWNER/NAME")  # or the folder\n'
        'scores = model.encode_text(["two dogs"]) @ model.encode_images(["photo.jpg"]).T\n'
        "```\n",
    ]
    if figures is not None:
        parts += ["## Figures\n", _table(figures)]
    parts += [
        "## To be filled in\n",
        "What it was trained on and under which licence that is, what it is for, and what it is "
        "bad at.\n",
    ]
    return "\n".join(parts)


def _front_matter(title: str, figures: Figures | None, licence: str) -> str:
    lines = [
        f"license: {licence}",
        "library_name: user-itr",
        "pipeline_tag: feature-extraction",
        "tags: [image-text-retrieval, image-search, dual-encoder, onnx]",
    ]
    if figures is not None:
        quoted = json.dumps(title, ensure_ascii=False)  # a JSON string is one of YAML
        dataset = json.dumps(f"{figures.split}, {figures.images} images")
        lines += [
            "model-index:",
            f"- name: {quoted}",
            "  results:",
            "  - task: {type: image-text-retrieval}",
            f"    dataset: {{name: {dataset}, type: captioned-images}}",
            "    metrics:",
        ]
        lines += [
            f'    - {{type: recall, name: "{words} R@{k}", value: {value:.2f}}}'
            for side, words in _DIRECTIONS
            for k, value in getattr(figures.metrics, side).recall.items()
        ]
        lines.append(f"    - {{type: rsum, name: rsum, value: {figures.metrics.rsum:.2f}}}")
    return "".join(f"{line}\n" for line in lines)


def _table(figures: Figures) -> str:
    ks = list(figures.metrics.i2t.recall)
    rows = [["", *(f"R@{k}" for k in ks), "median rank"], ["---"] * (len(ks) + 2)]
    for side, words in _DIRECTIONS:
        found = getattr(figures.metrics, side)
        rows.append([words, *(f"{found.recall[k]:.1f}" for k in ks), f"{found.median_rank:g}"])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return (
        f"{table}\n\nrsum {figures.metrics.rsum:.1f}; {figures.split} split, "
        f"{figures.images:,} images and {figures.captions:,} captions.\n"
    )
