from __future__ import annotations

from pathlib import Path

import pytest
from collections_of_images import samples, write_pictures, write_tar


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """27 images: a folder with two levels and a tar inside, and a tar by itself."""
    write_pictures(tmp_path / "photos", range(5))
    write_pictures(tmp_path / "photos" / "inner", range(5, 9))
    write_tar(tmp_path / "photos" / "packed.tar", samples(range(20, 29)))
    return [tmp_path / "photos", write_tar(tmp_path / "single.tar", samples(range(40, 49)))]
