from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from user_itr.data import images
from user_itr.data.images import find_images, load_image, open_image
from user_itr.errors import DataError


def test_images_are_found_below_a_folder_in_order(tmp_path, put_images):
    put_images(tmp_path, ["b.JPG", "a.png", "sub/c.webp", "notes.txt", ".hidden.png", "d"])
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["a.png", "b.JPG", "sub/c.webp"]
    with pytest.raises(DataError, match="no such folder"):
        list(find_images(tmp_path / "a.png"))


def test_exif_orientation_is_applied(tmp_path):
    picture = Image.new("RGB", (40, 20), "red")
    exif = picture.getexif()
    exif[0x0112] = 6  # rotate by 90 degrees to view
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert load_image(tmp_path / "a.jpg").size == (20, 40)


def test_transparency_is_laid_over_white(tmp_path):
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png").getpixel((0, 0)) == (255, 255, 255)
    Image.new("LA", (2, 2), (100, 255)).save(tmp_path / "b.png")
    assert load_image(tmp_path / "b.png").getpixel((0, 0)) == (100, 100, 100)


def test_sixteen_bits_become_eight(tmp_path):
    values = np.array([[0, 257 * 128, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.asarray(load_image(tmp_path / "a.png"))[0, :, 0].tolist() == [0, 128, 255]


def test_a_draft_keeps_both_sides_large_enough(tmp_path):
    Image.new("RGB", (800, 400), "blue").save(tmp_path / "a.jpg")
    assert load_image(tmp_path / "a.jpg", draft=100).size == (200, 100)
    assert load_image(tmp_path / "a.jpg").size == (800, 400)


def test_broken_and_huge_images_are_errors_that_name_the_file(tmp_path, put_images, monkeypatch):
    put_images(tmp_path, ["a.png"])
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:40])
    for name, message in (("cut.png", "cannot be decoded"), ("none.png", "no such image file")):
        with pytest.raises(DataError, match=rf"{name}: {message}"):
            load_image(tmp_path / name)
    monkeypatch.setattr(images, "MAX_PIXELS", 3)
    with pytest.raises(DataError, match=r"a\.png: 2 x 2 pixels is over the limit of 3"):
        load_image(tmp_path / "a.png")


def test_a_damaged_header_is_opened_without_its_pixels(tmp_path):
    Image.new("RGB", (60, 40), "blue").save(tmp_path / "a.png")
    sound = (tmp_path / "a.png").read_bytes()
    damaged = sound[:29] + bytes(4) + sound[33:]  # the header's checksum
    (tmp_path / "a.png").write_bytes(damaged)
    for given in (None, damaged):
        with open_image(tmp_path / "a.png", given) as image:
            assert (image.format, image.size) == ("PNG", (60, 40))
    with pytest.raises(UnidentifiedImageError):
        open_image(tmp_path / "a.png", b"no picture")


def test_threads_that_decode_leave_pillows_limit_as_it_was(tmp_path):
    limit = Image.MAX_IMAGE_PIXELS
    Image.new("RGB", (60, 40), "blue").save(tmp_path / "a.jpg")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(load_image, [tmp_path / "a.jpg"] * 200))
    assert {image.size for image in found} == {(60, 40)}
    assert limit == Image.MAX_IMAGE_PIXELS
