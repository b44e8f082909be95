"""What matches keep and flag: subjects that are in the photos against subjects that are not.

    python benchmarks/honest_matches.py flickr8k
    python benchmarks/honest_matches.py flickr8k --images 300 --model FOLDER

It indexes the split's photos and searches them for captions of theirs, for short subjects that the
captions name, for subjects that no caption names in singular or plural, and for sentences in other
languages. A query is flagged where its best match is weak. One half of each list is for tuning (the
sweep of thresholds), the other half is reported. A small CLIP of random weights stands beside the
model: it can only show that nothing breaks, and what chance would get.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from honest_subjects import ABSENT, FOREIGN, PRESENT
from user_itr.data.captions import CaptionedImages
from user_itr.data.readers import load_captions
from user_itr.model.vocabulary import content_words, stem, words_of
from user_itr.pretrained import DEFAULT
from user_itr.runtime.loading import load
from user_itr.search.encoder import Encoder
from user_itr.search.index import ImageIndex
from user_itr.search.matching.match import GOOD, WEAK, Match
from user_itr.search.matching.remarks import remarks
from user_itr.search.query import search

TESTS = Path(__file__).parents[1] / "tests" / "runtime" / "dual_encoders"
OLD_CLOSE = 0.4328
"""The cosine of 15 %, below which 0.1.0 called a match of the shipped model not close."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="captioned set")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--images", type=int, help="the first ones alone")
    parser.add_argument("--index", type=Path, help="keeps the model's index there")
    asked = parser.parse_args()
    split = load_captions(asked.data, asked.split)
    count = min(asked.images or len(split.image_ids), len(split.image_ids))
    lists = queries_of(split, count)
    with tempfile.TemporaryDirectory() as folder:
        place = asked.index or Path(folder)
        report(asked.model, load(asked.model), split, count, lists, place / "index")
        sys.path.append(str(TESTS))
        from tiny_dual_encoders import save_dual_encoder

        small = load(save_dual_encoder("clip", Path(folder) / "clip"))
        report("CLIP of random weights", small, split, count, lists, Path(folder) / "small")


def queries_of(split: CaptionedImages, count: int) -> dict[str, list[str]]:
    """The lists, checked against the captions of the photos."""
    shown = [split.captions[row] for row in np.flatnonzero(split.caption_image < count)]
    held = [{stem(word) for word in words_of(caption)} for caption in shown]

    def named(subject: str) -> bool:
        wanted = {stem(word) for word in content_words(subject)}
        return any(wanted <= stems for stems in held)

    absent, present = (list_of(text) for text in (ABSENT, PRESENT))
    first = np.unique(split.caption_image, return_index=True)[1]
    lists = {
        "captions of photos that are there": [
            split.captions[row + photo % 5] for photo, row in enumerate(first[:count].tolist())
        ],
        "short subjects that are there": [one for one in present if named(one)],
        "subjects that are not there": [one for one in absent if not named(one)],
        "sentences in other languages": list(FOREIGN),
    }
    print(f"{count} photos, {len(shown)} captions; left out after the check against them:")
    for name, written in (("not there", absent), ("there", present)):
        kept = {one for found in lists.values() for one in found}
        print(f"  {sum(one not in kept for one in written)} of {len(written)} subjects {name}")
    return lists


def list_of(text: str) -> list[str]:
    return [one for one in (part.strip() for part in re.split(r"[,\n]", text)) if one]


def report(
    name: str,
    encoder: Encoder,
    split: CaptionedImages,
    count: int,
    lists: dict[str, list[str]],
    place: Path,
) -> None:
    assert split.image_paths is not None
    index = ImageIndex.create_or_open(place, encoder, place)
    index.update(list(split.image_paths[:count]), encoder)
    best = {what: [judged(index, encoder, one) for one in texts] for what, texts in lists.items()}
    print(f"\n{name}: {encoder.description}\n")
    print(f"the half for tuning: kept with WEAK at each percent (it is {WEAK})")
    print(f"  {'':36}{''.join(f'{weak:>6}' for weak in range(20, 55, 5))}")
    for what, found in best.items():
        tuned = found[::2]
        kept = (f"{share(m.percent >= weak for m, _ in tuned):6.0%}" for weak in range(20, 55, 5))
        print(f"  {what:<36}{''.join(kept)}")
    print(f"\nthe other half: word of the best match (good from {GOOD} %, weak below {WEAK} %)")
    print(f"  {'':36}{'queries':>8}{'good':>7}{'possible':>10}{'weak':>7}{'weak by 0.1.0':>15}")
    for what, found in best.items():
        line(what, found[1::2], encoder)
        if "not there" in what:
            texts = lists[what][1::2]
            known = [not encoder.unknown_words(text) for text in texts]
            parts = (("of words that it knows", True), ("of others", False))
            for part, wanted in parts:
                chosen = [f for f, k in zip(found[1::2], known, strict=True) if k is wanted]
                line(f"  {part}", chosen, encoder)
    told = share(bool(remarks(encoder, [text])) for text in FOREIGN)
    print(f"  other languages that are told: {told:.0%}")
    rare_words(split, count, encoder, index)


def judged(index: ImageIndex, encoder: Encoder, text: str) -> tuple[Match, float]:
    [hit] = search(index, encoder, text='"{}"'.format(text.replace('"', "")), k=1)
    assert hit.match is not None
    return hit.match, hit.score


def line(what: str, found: Sequence[tuple[Match, float]], encoder: Encoder) -> None:
    if not found:
        return
    words = [share(m.word == word for m, _ in found) for word in ("good", "possible", "weak")]
    old = ""
    if encoder.fingerprint == load().fingerprint:
        old = f"{share(score < OLD_CLOSE for _, score in found):.1%}"
    shown = f"{words[0]:7.1%}{words[1]:10.1%}{words[2]:7.1%}"
    print(f"  {what:<36}{len(found):8}{shown}{old:>15}")


def rare_words(split: CaptionedImages, count: int, encoder: Encoder, index: ImageIndex) -> None:
    """Whether one word alone finds a photo whose captions have it, known to the model or not."""
    photos: dict[str, set[int]] = {}
    for row in np.flatnonzero(split.caption_image < count):
        for word in content_words(split.captions[row]):
            photos.setdefault(word, set()).add(int(split.caption_image[row]))
    place = {path: number for number, path in enumerate(split.image_paths or ())}
    few = {word: where for word, where in photos.items() if 1 <= len(where) <= 3}
    print("  words that captions of one to three photos have, searched for alone:")
    for what, unknown in (("unknown", True), ("known", False)):
        words = [word for word in sorted(few) if bool(encoder.unknown_words(word)) is unknown][:400]
        if not words:
            continue
        hits = [search(index, encoder, text=word, k=10) for word in words]
        right = share(
            any(place[hit.path] in few[word] for hit in found)
            for word, found in zip(words, hits, strict=True)
        )
        chance = np.mean([min(1.0, 10 * len(few[word]) / count) for word in words])
        print(
            f"    {len(words)} {what}: {right:.0%} have one in the first ten, chance {chance:.1%}"
        )


def share(found: object) -> float:
    values = list(found)  # type: ignore[call-overload]
    return sum(values) / len(values) if values else float("nan")


if __name__ == "__main__":
    main()
