"""Karpathy JSON: `dataset_flickr8k.json`, `dataset_flickr30k.json`, `dataset_coco.json`.

`images[]` holds `filename`, `filepath` and `cocoid` (COCO only), `split`, and `sentences[]` with
`raw` and `sentid`; in COCO's file a `sentid` is the annotation id of MSCOCO. Images of the
split "restval" (COCO) train, as everybody in the field counts them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from user_itr.data.captions import CaptionedImages
from user_itr.data.problems import Problem
from user_itr.data.readers.image_folder import guess_image_folder
from user_itr.data.readers.set_builder import SetBuilder, match_split, sort_splits
from user_itr.data.readers.text import read_json
from user_itr.errors import DataError

LAYOUT = "dataset_*.json (Karpathy) beside images/"

_IMAGE_FOLDERS = (
    "images",
    "Images",
    "Flicker8k_Dataset",
    "flickr30k-images",
    "flickr30k_images",
)


def detect(root: Path) -> bool:
    """Whether `root` is, or holds, a file `dataset_*.json`."""
    return bool(_json_files(root))


def splits(root: Path) -> list[str]:
    """The splits that the file's images name, "restval" counted as "train".

    Raises:
        DataError: if the file cannot be read or is no Karpathy JSON.
    """
    file = _json_file(root)
    return _splits_of(file, _load(file)[1])


def read(
    root: Path,
    split: str,
    images: Path | None,
    problems: list[Problem],
    *,
    pictures: bool = True,
) -> CaptionedImages:
    """Read one split; image ids are `filepath/filename`, or `filename` where there is no path.

    Args:
        root: the JSON file, or the folder that holds it.
        split: "train" (with "restval"), "val" (or "dev") or "test".
        images: the images folder; guessed beside the file by default.
        problems: defects are appended here, and what they concern is left out.
        pictures: whether the image files must be there.

    Raises:
        DataError: if the file, the split or every image is missing, or the file is malformed.
    """
    file = _json_file(root)
    name, entries = _load(file)
    parts = [_split(entry) for entry in entries]
    split = match_split(file, split, _splits_of(file, entries))
    rows = [row for row, part in enumerate(parts) if part == split]
    folder = file.parent
    names = [image for row in rows if (image := _image_name(entries[row])) is not None]
    beside = [folder / part for part in _IMAGE_FOLDERS]
    image_folder = guess_image_folder(root, images, [*beside, folder], names, needed=pictures)
    builder = SetBuilder(name, split, image_folder, problems)
    for row, part in enumerate(parts):
        if part is None:
            message = "has no `split`; give it one of train, restval, val, test."
            problems.append(Problem(file, f"images[{row}]", message))
    for row in rows:
        _add(builder, entries[row], file, f"images[{row}]", problems)
    return builder.build()


@dataclass(frozen=True)
class Described:
    """An image's id in MSCOCO, and its captions with theirs (`sentid`)."""

    coco_id: int
    captions: tuple[tuple[str, int], ...]


def read_ids(root: Path, split: str) -> list[Described]:
    """Ids and captions of a split, in the file's order, without its image files.

    Raises:
        DataError: if the file or the split is missing, the file is malformed or an id is missing.
    """
    file = _json_file(root)
    _, entries = _load(file)
    parts = [_split(entry) for entry in entries]
    split = match_split(file, split, sort_splits({part for part in parts if part is not None}))
    found = []
    for row, (entry, part) in enumerate(zip(entries, parts, strict=True)):
        if part != split:
            continue
        try:
            captions = tuple((str(s["raw"]), int(s["sentid"])) for s in entry["sentences"])
            found.append(Described(int(entry["cocoid"]), captions))
        except (KeyError, TypeError, ValueError):
            raise DataError(
                f"{file}: images[{row}] lacks `cocoid`, or `raw` and `sentid` of its sentences; "
                "give dataset_coco.json as Karpathy published it."
            ) from None
    return found


def _add(builder: SetBuilder, entry: Any, file: Path, where: str, problems: list[Problem]) -> None:
    name = _image_name(entry)
    if name is None:
        problems.append(Problem(file, where, "has no `filename`; name the image file."))
        return
    image_id = builder.add_image(name, file, where, coco_id=entry.get("cocoid"))
    if image_id is None:
        return
    sentences = entry.get("sentences")
    if not isinstance(sentences, list):
        problems.append(Problem(file, where, "`sentences` is no list; give a list of {raw: ...}."))
        return
    for number, sentence in enumerate(sentences):
        raw, caption_id = (
            (sentence.get("raw"), sentence.get("sentid"))
            if isinstance(sentence, dict)
            else (None, None)
        )
        builder.add_caption(image_id, raw, file, f"{where}.sentences[{number}]", caption_id)


def _splits_of(file: Path, entries: list[Any]) -> list[str]:
    """The splits that images name.

    Raises:
        DataError: if none of them names one.
    """
    found = sort_splits({split for entry in entries if (split := _split(entry)) is not None})
    if not found and entries:
        raise DataError(
            f"{file}: none of its {len(entries):,} images has a `split`, so that nothing says "
            "which are for the test; give each one of train, restval, val, test, as Karpathy's own "
            "file has."
        )
    return found


def _split(entry: Any) -> str | None:
    split = entry.get("split") if isinstance(entry, dict) else None
    if not isinstance(split, str) or not split:
        return None
    return "train" if split == "restval" else split


def _image_name(entry: Any) -> str | None:
    name, path = entry.get("filename"), entry.get("filepath")
    if not isinstance(name, str):
        return None
    return f"{path.rstrip('/')}/{name}" if isinstance(path, str) and path else name


def _load(file: Path) -> tuple[str, list[Any]]:
    content = read_json(file)
    entries = content.get("images") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise DataError(f"{file}: no list `images`; give a Karpathy JSON (dataset_*.json).")
    name = content.get("dataset")
    return (name if isinstance(name, str) else file.stem.removeprefix("dataset_")), entries


def _json_files(root: Path) -> list[Path]:
    if root.is_file():
        return [root] if root.name.startswith("dataset_") and root.suffix == ".json" else []
    return sorted(path for path in root.glob("dataset_*.json") if path.is_file())


def _json_file(root: Path) -> Path:
    files = [root] if root.is_file() else _json_files(root)
    if not files:
        raise DataError(f"{root}: no dataset_*.json here; give the file or its folder.")
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise DataError(f"{root}: several sets ({names}); give the path of one of these files.")
    return files[0]
