"""Small pictures in a terminal, where it can show them (kitty's protocol, sixel)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from user_itr.errors import DataError, MissingExtraError

HEIGHT = 10
"""Lines of a thumbnail."""

MOST = 12
"""Thumbnails at once."""

PIXELS = 400
"""To which size a JPEG file may be decoded."""


def print_thumbnails(photos: Sequence[tuple[int, Path]], *, forced: bool) -> None:
    """Print the first photos, each with its rank.

    Args:
        photos: rank and file.
        forced: also in a terminal that shows no pictures, by coloured half blocks.

    Raises:
        MissingExtraError: if `forced` and textual-image is not installed.
    """
    from rich.console import Console

    try:
        from textual_image.renderable import HalfcellImage, Image, SixelImage, TGPImage
    except ImportError:
        if forced:
            raise MissingExtraError(
                "thumbnails need one more package; run `pip install user-itr[app]`."
            ) from None
        return
    if Image not in (SixelImage, TGPImage) and not forced:
        return
    kind = Image if Image in (SixelImage, TGPImage) else HalfcellImage
    from user_itr.data.images import load_image

    console = Console()
    for rank, path in photos[:MOST]:
        try:
            picture = load_image(path, draft=PIXELS)
        except DataError as error:
            console.print(f"{rank}: {error}", highlight=False, markup=False)
            continue
        picture.thumbnail((2 * PIXELS, PIXELS))
        console.print(f"{rank}", highlight=False)
        console.print(kind(picture, width="auto", height=HEIGHT))
