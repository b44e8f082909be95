"""`user-itr features extract`, killed outright wherever that hits: the same store to the byte."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from feature_helpers import QuadrantMeans, broken, contents

from user_itr.errors import FeatureError
from user_itr.features.extraction import extract_features
from user_itr.features.store import FeatureStore
from user_itr.features.writer import StoreWriter

sys.path.append(str(Path(__file__).parents[1] / "stress"))
import forked

Photos = Callable[..., list[tuple[str, Path]]]
WRITER = "user_itr.features.writer"
KILLS = (
    (f"{WRITER}.write_json", 1),  # the folder and the header are there
    (f"{WRITER}.os.fsync", 2),  # a batch is half recorded
    (f"{WRITER}.StoreWriter.append", 3),  # between batches
    ("user_itr.features.extraction._encode", 2),  # in a batch
    (f"{WRITER}.hash_files", 1),  # all rows are there, the header is written
    (f"{WRITER}.write_json", 1),  # the array has its name, the manifest is not there
    (f"{WRITER}.write_json", 1),  # and once more
    (f"{WRITER}.Path.unlink", 2),  # the manifest is there, the progress not yet gone
)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fork server")
def test_killed_at_eight_places_it_ends_equal_to_the_byte(
    tmp_path: Path, photos: Photos, lite0: object
) -> None:
    images = [*photos(9), broken(tmp_path / "photos", "broken.jpg")]
    out, printed = tmp_path / "killed", tmp_path / "printed"
    words = ["features", "extract", str(tmp_path / "photos"), str(out), "--format", "folder"]
    words += ["--batch-size", "2"]
    for place in KILLS:
        process = forked.start(forked.command, words, printed, place, cache=tmp_path / "cache")
        process.join(120)
        assert process.exitcode == -signal.SIGKILL, (place, printed.read_text())
    assert (out / "progress.json").exists()
    process = forked.start(forked.command, words, printed, cache=tmp_path / "cache")
    process.join(120)
    assert process.exitcode == 1, printed.read_text()  # one was skipped
    extract_features(sorted(images), lite0, tmp_path / "whole", batch_size=2)  # type: ignore[arg-type]
    assert contents(out) == contents(tmp_path / "whole")
    FeatureStore.open(out).verify()


def test_a_store_that_another_process_has_just_finished_is_not_made_again(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans
) -> None:
    images = photos(4)
    extract_features(images, quadrants, tmp_path / "s")
    before = contents(tmp_path / "s")
    request = FeatureStore.open(tmp_path / "s").manifest
    with pytest.raises(FeatureError, match="another process has finished this store meanwhile"):
        StoreWriter(
            tmp_path / "s",
            fingerprint=request.fingerprint,
            created_with=request.created_with,
            threads=1,
            regions=request.regions,
            width=request.width,
        )
    assert contents(tmp_path / "s") == before


def test_nobody_writes_between_the_last_steps_of_another(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The array has its name and the manifest is not there: it looks like what a kill leaves."""
    images, refused = photos(4), []

    def second(*arguments: object) -> None:
        if (tmp_path / "s" / "features.npy").exists():
            with pytest.raises(FeatureError, match="another process is extracting"):
                extract_features(images, quadrants, tmp_path / "s")
            refused.append(arguments)
        write(*arguments)

    from user_itr.features import writer

    write = writer.write_json
    monkeypatch.setattr(writer, "write_json", second)
    extract_features(images, quadrants, tmp_path / "s")
    assert len(refused) == 1
    assert set(contents(tmp_path / "s")) == {"features.npy", "manifest.json"}
    FeatureStore.open(tmp_path / "s").verify()


def test_a_full_disk_at_the_very_end_is_a_sentence(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans, monkeypatch: pytest.MonkeyPatch
) -> None:
    from user_itr.features import writer

    images = photos(4)
    write = writer.write_json

    def full(file: Path, model: object) -> None:
        if file.name == "manifest.json":
            raise OSError(28, "No space left on device")
        write(file, model)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_json", full)
        with pytest.raises(FeatureError, match=r"cannot be written \(No space left on device\)"):
            extract_features(images, quadrants, tmp_path / "s")
    extract_features(images, quadrants, tmp_path / "s")
    extract_features(images, quadrants, tmp_path / "whole")
    assert contents(tmp_path / "s") == contents(tmp_path / "whole")
