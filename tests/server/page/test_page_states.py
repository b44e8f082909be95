"""What the page says when there is nothing to show, and what one can do then."""

from __future__ import annotations

import pytest
from PIL import ExifTags, Image

from user_itr.search.index import ImageIndex

Limits = pytest.importorskip("user_itr.server.limits", reason="needs user-itr[app]").Limits


def message(page):
    page.settle()
    return page.wait(lambda: page.text("#message"))


def test_a_query_that_cannot_be(troubled):
    troubled.search("-red")
    text = message(troubled)
    assert "say also what is" in text  # the server's own sentence
    troubled.one("#message button").click()
    assert troubled.one("#help").is_displayed()


def test_a_picture_that_cannot_be_read(troubled, tmp_path):
    troubled.search("red")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture at all")
    troubled.hand_over(broken, "drop")
    troubled.wait(lambda: not troubled.one("#message").get_property("hidden"))
    assert message(troubled).startswith("This picture cannot be read")
    troubled.find("#message button")[1].click()  # on without it
    troubled.wait(lambda: troubled.text("#title") == "Best matches for “red”")


def test_a_file_that_is_too_large(troubled, serve, index, tmp_path):
    troubled.url = serve(index, limits=Limits(upload_bytes=1_000_000)).url
    troubled.open()
    large = tmp_path / "large.heic"
    large.write_bytes(bytes(6_000_000))
    troubled.one("#file").send_keys(str(large))
    troubled.wait(lambda: not troubled.one("#message").get_property("hidden"))
    assert message(troubled).startswith("This picture is too large")
    assert "Choose another picture" in message(troubled)


def test_something_that_is_no_picture(page):
    page.hand_over(None, "drop", name="letter.txt", kind="text/plain")
    assert page.wait(lambda: page.text("#notice")) == "“letter.txt” is not a picture."
    assert page.text("#title") == "Newest photos"


def test_photos_that_are_not_in_the_index(troubled):
    troubled.open("/?similar=0123456789abcdef")
    assert message(troubled).startswith("This photo is not in the index")
    troubled.one("#message button").click()
    troubled.wait(lambda: troubled.text("#count").startswith("All 136 photos"))
    troubled.open("/?photo=0123456789abcdef")
    troubled.wait(lambda: "not in the index" in troubled.text("#viewer-trouble"))
    assert troubled.text("#viewer-name") == "No such photo"
    for part in ("search", "file", "neighbours"):
        assert not troubled.one(f"#viewer-{part}").is_displayed()
    troubled.press("Escape")
    troubled.wait(lambda: not troubled.one("#viewer").is_displayed())
    troubled.find("#grid .tile a")[3].click()
    troubled.wait(lambda: troubled.one("#viewer-file").is_displayed())


def test_days_of_a_link_that_no_photo_can_be_of(troubled):
    troubled.open("/?after=2023-10-31&before=2023-10-01")
    assert "swap the two" in message(troubled)
    troubled.one("#message button.main").click()  # clears the filters
    troubled.wait(lambda: troubled.text("#count").startswith("All 136 photos"))


def test_an_index_that_is_gone(troubled, serve, encoder, tmp_path):
    """Nobody else is blamed."""
    from colour_encoder import paint

    paint(tmp_path / "photos" / "red.jpg", "red", (300, 200))
    index = ImageIndex.create_or_open(tmp_path / "index", encoder, "model")
    index.update(tmp_path / "photos", encoder)
    troubled.url = serve(index).url
    troubled.open()
    (tmp_path / "index").rename(tmp_path / "elsewhere")
    troubled.search("red")
    assert message(troubled).startswith("The index cannot be read")


def test_an_empty_index(page, serve, encoder, tmp_path):
    page.url = serve(ImageIndex.create_or_open(tmp_path / "index", encoder, "model")).url
    page.open()
    assert message(page).startswith("No photos here yet")
    assert "user-itr index" in page.text("#message code")
    page.search("red")
    assert message(page).startswith("No photos here yet")


def test_a_photo_that_is_gone(troubled, serve, encoder, tmp_path):
    from colour_encoder import paint

    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2024:05:03 12:30:00"
    path = paint(tmp_path / "photos" / "away.jpg", "red", (300, 200), exif=exif)
    index = ImageIndex.create_or_open(tmp_path / "index", encoder, "model")
    index.update(tmp_path / "photos", encoder)
    path.unlink()
    troubled.url = serve(index).url
    troubled.open()
    assert troubled.wait(lambda: troubled.text(".broken")) == "away.jpg"
    troubled.one("#grid .tile a").click()
    text = troubled.wait(lambda: troubled.text("#viewer-trouble"))
    assert "away.jpg: the file is gone, or is not mounted on this machine" in text
    assert "Taken\n3 May 2024 at 12:30" in troubled.text("#viewer-facts")
    assert not troubled.one("#viewer-captions").is_displayed()  # no sentences in this index


def test_a_link_out_of_the_folder_says_what_to_do(troubled, serve, encoder, tmp_path):
    """It was indexed, and is found; the server sends nothing from elsewhere."""
    from colour_encoder import paint

    paint(tmp_path / "photos" / "here.jpg", "blue", (300, 200))
    elsewhere = paint(tmp_path / "elsewhere" / "photo.jpg", "red", (300, 200))
    (tmp_path / "photos" / "link.jpg").symlink_to(elsewhere)
    index = ImageIndex.create_or_open(tmp_path / "index", encoder, "model")
    index.update(tmp_path / "photos", encoder)
    troubled.url = serve(index).url
    troubled.open("/?q=red")
    troubled.wait(lambda: troubled.text(".broken") == "link.jpg")
    troubled.find("#grid .tile a")[0].click()
    text = troubled.wait(lambda: troubled.text("#viewer-trouble"))
    assert "link.jpg: is a link out of the indexed folder" in text
    assert "index the folder that it leads to" in text
    index.update(tmp_path / "elsewhere", encoder)
    troubled.open("/?q=red")
    troubled.wait(lambda: "photo.jpg" in troubled.names()[:2])


def test_a_server_that_stops_and_comes_back(troubled, serve, index):
    own = serve(index)
    troubled.url = own.url
    troubled.open()
    own.stop()
    troubled.search("red")
    text = message(troubled)
    assert text.startswith("The server does not answer")
    assert "user-itr serve" in text
    own.start()
    troubled.wait(lambda: troubled.names()[:1] and troubled.names()[0].startswith("red-"))
    assert not troubled.one("#message").is_displayed()


def test_a_next_page_that_does_not_come(troubled, serve, index):
    own = serve(index)
    troubled.url = own.url
    troubled.open()
    own.stop()
    troubled.run("scrollTo(0, document.body.scrollHeight)")
    troubled.wait(lambda: troubled.text("#trouble") == "The server does not answer.")
    assert len(troubled.find("#grid .tile")) > 10  # the photos have their places still
    own.start()
    troubled.one("#again").click()
    troubled.wait(lambda: troubled.names()[-1:] == ["white-135.jpg"])
    assert troubled.text("#trouble") == ""


def test_a_token_that_is_no_longer_known(troubled, serve, index):
    troubled.url = serve(index, token="a-token-of-this-test").url
    troubled.open("/?token=a-token-of-this-test")
    assert troubled.text("#count").startswith("All 136 photos")
    troubled.browser.delete_all_cookies()
    troubled.search("red")
    assert message(troubled).startswith("This page needs its token")


def test_no_connection(troubled):
    """A server on this computer needs no network: the page says that it does not answer."""
    troubled.browser.execute_cdp_cmd("Network.enable", {})
    conditions = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    troubled.browser.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)
    try:
        troubled.search("red")
        assert message(troubled).startswith("The server does not answer")
    finally:
        troubled.browser.execute_cdp_cmd(
            "Network.emulateNetworkConditions", conditions | {"offline": False}
        )
    troubled.wait(lambda: troubled.names()[:1] and troubled.names()[0].startswith("red-"))
