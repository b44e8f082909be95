"""The Flickr8K corpus: `Flickr8k.token.txt`, `Flickr_8k.{train,dev,test}Images.txt`, `Images/`.

As its authors distribute it, the text files may lie in `Flickr8k_text/` and the photographs in
`Flicker8k_Dataset/` (their spelling). A line of the token file is `name.jpg#k<TAB>caption`.
"""

from __future__ import annotations

import re
from pathlib import Path

from user_itr.data.captions import CaptionedImages
from user_itr.data.problems import Problem
from user_itr.data.readers.image_folder import guess_image_folder
from user_itr.data.readers.set_builder import SetBuilder, match_split, sort_splits
from user_itr.data.readers.text import read_lines
from user_itr.errors import DataError

LAYOUT = "Flickr8k.token.txt and Flickr_8k.trainImages.txt beside Images/"

_TOKEN_FILE = "Flickr8k.token.txt"  # nosec B105 # of words
_TOKEN_LINE = re.compile(r"([^\t]+)#([0-9]{1,9})[ ]*\t(.*)", re.DOTALL)
_SPLIT_FILE = re.compile(r"Flickr_8k\.(.+)Images\.txt")
_IMAGE_FOLDERS = ("Images", "Flicker8k_Dataset", "Flickr8k_Dataset", "images")


def detect(root: Path) -> bool:
    """Whether `root` holds a Flickr8K token file."""
    return any((folder / _TOKEN_FILE).is_file() for folder in _text_folders(root))


def splits(root: Path) -> list[str]:
    """The splits that have a list of images.

    Raises:
        DataError: if there is no token file.
    """
    found = (_SPLIT_FILE.fullmatch(path.name) for path in _text_folder(root).iterdir())
    return sort_splits({match[1] for match in found if match})


def parse_token_line(line: str) -> tuple[str, int, str] | None:
    """Image name, caption number and caption of a token line; None where it is malformed."""
    match = _TOKEN_LINE.fullmatch(line)
    return None if match is None else (match[1].strip(), int(match[2]), match[3])


def read(
    root: Path,
    split: str,
    images: Path | None,
    problems: list[Problem],
    *,
    pictures: bool = True,
) -> CaptionedImages:
    """Read one split; image ids are file names ("1000268201_693b08cb0e.jpg").

    A token line that is malformed is reported whatever the split: nobody can tell whose it is.

    Args:
        root: the corpus folder.
        split: "train", "dev" or "test".
        images: the images folder; guessed beside the text files by default.
        problems: defects are appended here, and what they concern is left out.
        pictures: whether the image files must be there.

    Raises:
        DataError: if a text file, the split or every image is missing.
    """
    folder = _text_folder(root)
    split = match_split(root, split, splits(root))
    token_file = folder / _TOKEN_FILE
    split_file = folder / f"Flickr_8k.{split}Images.txt"
    listed = [
        (number, line.strip())
        for number, line in enumerate(read_lines(split_file, problems), start=1)
        if line is not None and line.strip()
    ]
    parents = (folder, root) if folder != root else (root,)
    beside = [parent / name for parent in parents for name in _IMAGE_FOLDERS]
    image_folder = guess_image_folder(
        root, images, beside, [name for _, name in listed], needed=pictures
    )
    builder = SetBuilder("flickr8k", split, image_folder, problems)
    for number, name in listed:
        builder.add_image(name, split_file, f"line {number}")
    _add_captions(builder, token_file, problems)
    return builder.build()


def _add_captions(builder: SetBuilder, token_file: Path, problems: list[Problem]) -> None:
    seen: dict[tuple[str, int], int] = {}
    for number, line in enumerate(read_lines(token_file, problems), start=1):
        if line is None or not line.strip():
            continue
        where = f"line {number}"
        parsed = parse_token_line(line)
        if parsed is None:
            message = f"{_shorten(line)!r} is not `name.jpg#k<TAB>caption`; correct the line."
            problems.append(Problem(token_file, where, message))
            continue
        name, caption_number, caption = parsed
        if name not in builder:
            continue
        first = seen.setdefault((name, caption_number), number)
        if first != number:
            message = f"{name}#{caption_number} is there already on line {first}; renumber it."
            problems.append(Problem(token_file, where, message))
            continue
        builder.add_caption(name, caption, token_file, where)


def _shorten(line: str) -> str:
    return line if len(line) <= 60 else f"{line[:57]}..."


def _text_folders(root: Path) -> tuple[Path, Path]:
    return root, root / "Flickr8k_text"


def _text_folder(root: Path) -> Path:
    for folder in _text_folders(root):
        if (folder / _TOKEN_FILE).is_file():
            return folder
    raise DataError(f"{root}: no {_TOKEN_FILE} here or in Flickr8k_text/; give the corpus folder.")
