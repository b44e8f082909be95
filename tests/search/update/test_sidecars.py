"""XMP files beside photos give their dates, without a photo being encoded again."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from colour_encoder import ColourEncoder, paint
from inspect_index import counts, files
from permissions import unprivileged

from user_itr.search.found import photo_id
from user_itr.search.index import ImageIndex

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/"
  exif:DateTimeOriginal="{date}"/></rdf:RDF></x:xmpmeta>"""


def write(path: Path, date: str) -> None:
    path.write_text(XMP.format(date=date))


def taken(index: ImageIndex, photo: Path) -> datetime | None:
    facts = index.facts(photo_id(str(photo)))
    assert facts is not None
    return facts.taken


@pytest.mark.parametrize("name", ["red.png.xmp", "red.xmp", "RED.XMP"])
def test_a_sidecar_comes_changes_and_goes(
    photos: Path, index: ImageIndex, encoder: ColourEncoder, name: str
) -> None:
    red, sidecar = photos / "red.png", photos / name
    index.update(photos, encoder)
    assert taken(index, red) is None
    encoder.encoded = 0

    write(sidecar, "2012-03-04T05:06:07")
    assert counts(index.update(photos, encoder)) == (0, 1, 7, 0)
    assert taken(index, red) == datetime(2012, 3, 4, 5, 6, 7)
    write(sidecar, "2013-03-04T05:06:07")  # as long, and perhaps at the same time stamp
    index.update(photos, encoder)
    assert taken(index, red) == datetime(2013, 3, 4, 5, 6, 7)
    sidecar.unlink()
    assert counts(index.update(photos, encoder)) == (0, 1, 7, 0)
    assert taken(index, red) is None
    assert files(index)[str(red)].sidecar is None
    assert encoder.encoded == 0


def test_new_moved_and_copied_photos_have_the_dates_of_their_sidecars(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    write(photos / "red.xmp", "2012-03-04T05:06:07")
    index.update(photos, encoder)
    assert taken(index, photos / "red.png") == datetime(2012, 3, 4, 5, 6, 7)
    (photos / "red.png").rename(photos / "moved.png")
    (photos / "red.xmp").rename(photos / "moved.xmp")
    (photos / "copy.png").write_bytes((photos / "moved.png").read_bytes())
    index.update(photos, encoder)
    assert taken(index, photos / "moved.png") == datetime(2012, 3, 4, 5, 6, 7)
    assert taken(index, photos / "copy.png") is None


def test_a_sidecar_that_may_not_be_read_changes_nothing(
    place: Path, encoder: ColourEncoder
) -> None:
    red, sidecar = paint(place / "photos" / "red.png", "red"), place / "photos" / "red.xmp"
    write(sidecar, "2012-03-04T05:06:07")
    with unprivileged():
        index = ImageIndex.create_or_open(place / "index", encoder, "model")
        index.update(red.parent, encoder)
    write(sidecar, "2013-03-04T05:06:07")
    sidecar.chmod(0o000)
    with unprivileged():
        report = index.update(red.parent, encoder)
        assert [path for path, _ in report.skipped] == [sidecar]
        assert taken(index, red) == datetime(2012, 3, 4, 5, 6, 7)
    sidecar.chmod(0o644)
    index.update(red.parent, encoder)
    assert taken(index, red) == datetime(2013, 3, 4, 5, 6, 7)
