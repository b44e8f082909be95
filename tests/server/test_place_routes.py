"""Where photos were taken, over the REST interface."""

from __future__ import annotations

import pytest
from colour_encoder import paint
from PIL import ExifTags, Image

PARIS = (48.85661412, 2.35222195)


def exif_of(latitude: float, longitude: float) -> Image.Exif:
    def degrees(value: float) -> tuple[float, float, float]:
        return (abs(value), 0.0, 0.0)

    exif = Image.Exif()
    exif[ExifTags.IFD.GPSInfo] = {
        ExifTags.GPS.GPSLatitudeRef: "S" if latitude < 0 else "N",
        ExifTags.GPS.GPSLatitude: degrees(latitude),
        ExifTags.GPS.GPSLongitudeRef: "W" if longitude < 0 else "E",
        ExifTags.GPS.GPSLongitude: degrees(longitude),
    }
    return exif


@pytest.fixture
def travelled(client, photos, index, encoder):
    """Two photos of Paris, one of Sydney, and the others of nobody knows where."""
    for name, place in (("a", PARIS), ("b", (48.8049, 2.1204)), ("c", (-33.8688, 151.2093))):
        paint(photos / "trip" / f"{name}.jpg", "red", (40, 30 + ord(name)), exif=exif_of(*place))
    index.update(photos, encoder)
    return client


def test_no_places(client):
    assert client.get("/api/places").json() == {"places": []}


def test_places_lead_to_their_photos(travelled):
    first, second = travelled.get("/api/places?step=5").json()["places"]
    assert (first["photos"], second["photos"]) == (2, 1)
    assert first["latitude"] == pytest.approx((PARIS[0] + 48.8049) / 2, abs=1e-5)
    for place, names in ((first, {"a.jpg", "b.jpg"}), (second, {"c.jpg"})):
        for route in ("photos", "search?q=red&"):
            query = f"{route}{'' if '?' in route else '?'}area={place['area']}"
            found = travelled.get(f"/api/{query}").json()["photos"]
            assert {photo["name"] for photo in found} == names
            assert place["photo"] in {photo["id"] for photo in found}
    apart = travelled.get("/api/places?step=0.01").json()["places"]
    assert [place["photos"] for place in apart] == [1, 1, 1]


def test_places_are_filtered_as_photos_are(travelled, photos):
    def counts(fields):
        return [
            one["photos"] for one in travelled.get("/api/places", params=fields).json()["places"]
        ]

    assert counts({"after": "2099-01-01"}) == []
    assert counts({"folder": str(photos / "trip")}) == [2, 1]
    assert counts({"area": "-90,100,0,180"}) == [1]
    assert counts({"limit": 1}) == [2]


def test_places_have_no_pages(client):
    assert client.get("/api/places", params={"offset": 1}).status_code == 422


@pytest.mark.parametrize("area", ["1,2,3", "a,b,c,d", "1e9,0,0,0", "50,0,40,0", "0,0,0,181"])
def test_a_wrong_area_is_refused_with_a_sentence(client, area):
    answer = client.get("/api/photos", params={"area": area})
    assert answer.status_code in (400, 422)
    assert "area" in answer.json()["error"]
