"""Photographs inside installed packages, so that a demo needs no network.

scikit-image's are in the folder of its data (its functions might download others, so only files
that are there are taken), scikit-learn's and matplotlib's where these are installed.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from user_itr.errors import MissingExtraError

SAMPLES = {
    "skimage": (
        "data",
        (
            "astronaut.png",
            "brick.png",
            "camera.png",
            "chelsea.png",
            "clock_motion.png",
            "coffee.png",
            "coins.png",
            "grass.png",
            "gravel.png",
            "hubble_deep_field.jpg",
            "moon.png",
            "motorcycle_left.png",
            "motorcycle_right.png",
            "retina.jpg",
            "rocket.jpg",
        ),
    ),
    "sklearn": ("datasets/images", ("china.jpg", "flower.jpg")),
    "matplotlib": ("mpl-data/sample_data", ("grace_hopper.jpg",)),
}
"""Package: folder inside it, photographs there."""


def copy_sample_photos(folder: Path) -> list[Path]:
    """Copy the photographs that are installed into a folder; those there already are kept.

    Returns:
        The copies.

    Raises:
        MissingExtraError: if scikit-image is not installed.
    """
    found = []
    for package, (inside, names) in SAMPLES.items():
        spec = importlib.util.find_spec(package)  # finds, and does not import, the package
        if spec is None or spec.origin is None:
            continue
        found += [Path(spec.origin).parent / inside / name for name in names]
    photos = [path for path in found if path.is_file()]
    if not any("skimage" in path.parts for path in photos):
        raise MissingExtraError(
            "the demo's photos come with scikit-image; run `pip install user-itr[demo]`."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path in photos:
        if not (folder / path.name).exists():
            shutil.copy2(path, folder / path.name)
    return [folder / path.name for path in photos]
