"""The pictures of the page in docs/images, taken of a running server over the demo's photos.

make demo && user-itr sentences tests/server/page/sentences.txt --index demo/index
user-itr serve --index demo/index &
python tests/server/page/take_screenshots.py docs/images
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver

from conftest import Page

SHOTS = (
    # name, width, height, dark, address, photo to open
    ("page-desktop", 1280, 800, False, "/?q=a+man+takes+a+photo+with+a+camera", None),
    ("page-dark", 1280, 800, True, "/?q=an+astronaut+in+an+orange+suit", None),
    ("page-viewer", 1280, 800, False, "/?q=a+rocket+at+night", "rocket.jpg"),
    ("page-phone", 390, 844, False, "/?q=a+cat", None),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8765")
    options = parser.parse_args()
    chrome_options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--lang=en-GB"):
        chrome_options.add_argument(argument)
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    browser = webdriver.Chrome(options=chrome_options, service=service)
    try:
        page = Page(browser, options.url)
        for name, width, height, dark, address, photo in SHOTS:
            page.resize(width, height)
            page.prefer(color_scheme="dark" if dark else "light")
            page.open(address)
            if photo is not None:
                [tile] = [
                    link
                    for link in page.find("#grid .tile a")
                    if photo in link.get_attribute("title")
                ]
                tile.click()
                page.wait(lambda: page.text("#viewer-facts"), 60)
            page.wait(
                lambda: page.run(
                    "return [...document.images].every("
                    "(one) => one.hidden || !one.getAttribute('src') || one.complete)"
                ),
                60,
            )
            time.sleep(1)  # pictures fade in
            picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
            picture.quantize(256).save(options.out / f"{name}.png", optimize=True)
            print(options.out / f"{name}.png", file=sys.stderr)
    finally:
        browser.quit()


if __name__ == "__main__":
    main()
