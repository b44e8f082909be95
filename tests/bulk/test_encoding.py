from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import lancedb
import numpy as np
import pyarrow.dataset
import pytest
from bulk_encoders import colours
from collections_of_images import picture, samples, write_pictures, write_tar
from colour_encoder import ColourEncoder, StoppedEncoder

from user_itr.bulk.collection import EmbeddingCollection, read_manifest
from user_itr.bulk.encoding import EncodingReport, encode_collection
from user_itr.errors import CollectionError, ConfigError, DataError
from user_itr.search.photos import content_hash

SEEDS = [*range(9), *range(20, 29), *range(40, 49)]


def encode(
    sources: list[Path], out: Path, encoder: ColourEncoder | None = None, **options: object
) -> EncodingReport:
    settings = {"shard_rows": 8, "batch_size": 4, "workers": 1, **options}
    return encode_collection(sources, out, lambda: encoder or colours(), "a model", **settings)


def rows(out: Path) -> list[dict]:
    return [row for table in EmbeddingCollection(out).tables() for row in table.to_pylist()]


@pytest.mark.parametrize("format", ["parquet", "lance"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_rows_are_what_the_encoder_says(
    tmp_path: Path, sources: list[Path], format: str, dtype: str
) -> None:
    shown: list[tuple[int, int]] = []
    report = encode(
        sources,
        tmp_path / "out",
        format=format,
        dtype=dtype,
        progress=lambda done, total: shown.append((done, total)),
    )
    assert (report.encoded, report.resumed, report.skipped) == (27, 0, [])
    assert shown[0] == (0, 27)
    assert shown[-1] == (27, 27)
    collection = EmbeddingCollection(tmp_path / "out")
    assert len(collection) == 27
    assert [shard.rows for shard in collection.manifest.shards] == [8, 8, 8, 3]
    collection.verify()

    files = [tmp_path / f"{seed}.png" for seed in SEEDS]
    for file, seed in zip(files, SEEDS, strict=True):
        file.write_bytes(picture(seed))
    found = rows(tmp_path / "out")
    assert [row["hash"] for row in found] == [content_hash(picture(seed)) for seed in SEEDS]
    assert [(row["width"], row["height"]) for row in found] == [(30 + n % 7, 20) for n in SEEDS]
    assert [row["caption"] for row in found] == [None] * 9 + [f"picture {n}" for n in SEEDS[9:]]
    assert found[5]["key"] == "inner/005.png"
    assert found[9]["source"] == str(sources[0] / "packed.tar")
    vectors = collection.embeddings()
    assert vectors.dtype == dtype
    wanted = ColourEncoder().encode_images(files)
    np.testing.assert_allclose(vectors, wanted, atol=1e-6 if dtype == "float32" else 1e-3)


def test_other_tools_read_the_shards(tmp_path: Path, sources: list[Path]) -> None:
    encode(sources, tmp_path / "out")
    encode(sources, tmp_path / "lance", format="lance")
    table = pyarrow.dataset.dataset(tmp_path / "out" / "shards").to_table()
    keys = [row["key"] for row in rows(tmp_path / "lance")]
    assert table["key"].to_pylist() == keys
    assert lancedb.connect(tmp_path / "lance" / "shards").open_table("00003").count_rows() == 3
    hashes = [
        [shard.sha256 for shard in read_manifest(tmp_path / out).shards] for out in ("out", "lance")
    ]
    assert hashes[0] == hashes[1]


def test_what_does_not_decode_has_no_row(tmp_path: Path) -> None:
    photos = write_pictures(tmp_path / "photos", range(12))
    for name in ("001", "004", "005", "006", "007", "011"):
        (photos / f"{name}.png").write_bytes(b"no picture")
    tar = write_tar(tmp_path / "a.tar", [*samples([20]), ("21.png", b""), ("22.png", b"no")])
    report = encode([photos, tar], tmp_path / "out")
    names = ["001", "004", "005", "006", "007", "011"]
    paths = [*(photos / f"{name}.png" for name in names), tar / "21.png", tar / "22.png"]
    assert [path for path, _ in report.skipped] == paths
    assert all("decoded" in reason for _, reason in report.skipped[:6])
    assert report.skipped[6][1] == "is empty; replace or remove the file."
    lines = (tmp_path / "out" / "skipped.jsonl").read_text().splitlines()
    assert [json.loads(line)["path"] for line in lines] == [str(path) for path in paths]
    assert [row["key"] for row in rows(tmp_path / "out")] == [
        *(f"{n:03d}.png" for n in (0, 2, 3, 8, 9, 10)),
        "020",
    ]
    again = encode([photos, tar], tmp_path / "out")
    assert (again.encoded, again.resumed, again.skipped) == (0, 2, report.skipped)


@pytest.mark.parametrize(("format", "batches"), [("parquet", (0, 3, 6)), ("lance", (5,))])
def test_interrupted_anywhere_it_goes_on(
    tmp_path: Path, sources: list[Path], format: str, batches: tuple[int, ...]
) -> None:
    encode(sources, tmp_path / "whole", format=format)
    for after in batches:
        out = tmp_path / f"{after}"
        with pytest.raises(KeyboardInterrupt):
            encode(sources, out, StoppedEncoder(after, KeyboardInterrupt()), format=format)
        assert not list(out.glob(".partial/*"))
        assert [shard.rows for shard in read_manifest(out).shards] == [8] * (after // 2)
        with pytest.raises(CollectionError, match=f"only {after // 2} of 4 shards"):
            EmbeddingCollection(out)
        report = encode(sources, out, format=format)
        assert (report.resumed, report.encoded) == (after // 2, 27 - 8 * (after // 2))
        assert rows(out) == rows(tmp_path / "whole")
        assert report.manifest == read_manifest(tmp_path / "whole")


KILLED = """
import sys
from functools import partial
from pathlib import Path
from bulk_encoders import DeadlyEncoder
from user_itr.bulk.encoding import encode_collection

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    sources = [folder / "photos", folder / "single.tar"]
    load = partial(DeadlyEncoder, folder / "marks", 1)
    options = dict(shard_rows=8, batch_size=4, workers=1)
    encode_collection(sources, folder / "out", load, "a model", **options)
"""


def test_a_killed_run_loses_and_repeats_no_row(tmp_path: Path, sources: list[Path]) -> None:
    (tmp_path / "marks").mkdir()
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}:{os.environ.get('PYTHONPATH', '')}"}
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    done = subprocess.run([sys.executable, script, tmp_path], env=environment, check=False)
    assert done.returncode == -9
    assert read_manifest(tmp_path / "out").shards == ()  # as it was begun
    report = encode(sources, tmp_path / "out")
    assert (report.resumed, report.encoded) == (1, 19)
    encode(sources, tmp_path / "whole")
    assert rows(tmp_path / "out") == rows(tmp_path / "whole")


def test_a_torn_line_and_a_missing_shard_are_made_again(
    tmp_path: Path, sources: list[Path]
) -> None:
    out = tmp_path / "out"
    whole = encode(sources, out).manifest
    content = rows(out)
    journal = out / "finished.jsonl"
    journal.write_bytes(journal.read_bytes()[:-10])
    (out / "shards" / "00001.parquet").unlink()
    report = encode(sources, out)
    assert (report.resumed, report.encoded) == (2, 11)
    assert report.manifest == whole
    assert rows(out) == content
    journal.write_text("nonsense\n")
    with pytest.raises(CollectionError, match="no record of a shard"):
        encode(sources, out)


def test_another_request_is_refused(tmp_path: Path, sources: list[Path]) -> None:
    out = tmp_path / "out"
    encode(sources, out)
    content = (out / "manifest.json").read_bytes()
    for options, said in (
        ({"encoder": colours("others")}, r"begun with the model a model \(colours, 8 colours\)"),
        ({"shard_rows": 16}, "begun with shard rows 8, and this is 16"),
        ({"batch_size": 8}, "begun with batch size 4"),
        ({"dtype": "float16"}, "begun with dtype float32"),
        ({"format": "lance"}, "begun with format parquet"),
    ):
        with pytest.raises(CollectionError, match=said):
            encode(sources, out, **options)
    with pytest.raises(CollectionError, match="begun with sources"):
        encode(sources[:1], out)
    assert (out / "manifest.json").read_bytes() == content
    report = encode(sources[:1], out, overwrite=True, format="lance")
    assert report.encoded == 18
    assert sorted(path.name for path in (out / "shards").iterdir()) == [
        f"0000{n}.lance" for n in range(3)
    ]


def test_new_files_are_for_another_folder(tmp_path: Path, sources: list[Path]) -> None:
    encode(sources, tmp_path / "out")
    write_pictures(sources[0], [70])
    assert encode(sources, tmp_path / "out").encoded == 0
    assert encode(sources, tmp_path / "out", overwrite=True).encoded == 28


def test_a_folder_of_others_is_left_alone(tmp_path: Path, sources: list[Path]) -> None:
    for overwrite in (False, True):
        with pytest.raises(CollectionError, match=r"holds other things \(000.png\)"):
            encode([sources[1]], sources[0], overwrite=overwrite)
    (sources[0] / "manifest.json").write_text('{"name": "a web app"}')
    with pytest.raises(CollectionError, match="damaged or not ours"):
        encode([sources[1]], sources[0], overwrite=True)
    names = [*(f"{n:03d}.png" for n in range(5)), "inner", "manifest.json", "packed.tar"]
    assert sorted(path.name for path in sources[0].iterdir()) == names
    (sources[0] / "manifest.json").write_text('{"format_version": 2}')
    with pytest.raises(CollectionError, match="upgrade user-itr"):
        EmbeddingCollection(sources[0])
    with pytest.raises(CollectionError, match="holds no embeddings"):
        EmbeddingCollection(tmp_path)


def test_a_shard_that_changed_is_found(tmp_path: Path, sources: list[Path]) -> None:
    encode(sources, tmp_path / "out")
    shards = tmp_path / "out" / "shards"
    (shards / "00001.parquet").write_bytes((shards / "00000.parquet").read_bytes())
    with pytest.raises(CollectionError, match=r"00001\.parquet: its contents are not those"):
        EmbeddingCollection(tmp_path / "out").verify()
    (shards / "00001.parquet").write_bytes((shards / "00003.parquet").read_bytes())
    with pytest.raises(CollectionError, match="has 3 rows and the manifest says 8"):
        EmbeddingCollection(tmp_path / "out").embeddings()
    (shards / "00001.parquet").write_bytes(b"")
    with pytest.raises(CollectionError, match="cannot be read"):
        EmbeddingCollection(tmp_path / "out").embeddings()


def test_numbers_out_of_range(tmp_path: Path, sources: list[Path]) -> None:
    for options, said in (
        ({"workers": 0}, "workers is 0"),
        ({"batch_size": 3}, "give 6 or 9"),
        ({"batch_size": 16}, "give 16 or 32"),
    ):
        with pytest.raises(ConfigError, match=said):
            encode(sources, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="no such folder"):
        encode([tmp_path / "nowhere"], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images found"):
        encode([tmp_path / "empty"], tmp_path / "out")
    assert encode(sources, tmp_path / "out").encoded == 27, "nothing holds to the empty folder"


def test_values_that_are_not_finite(tmp_path: Path, sources: list[Path]) -> None:
    class Diverged(ColourEncoder):
        def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
            return super().encode_pixels(pixels) * np.nan

    with pytest.raises(CollectionError, match=r"000\.png: the model .* not finite"):
        encode(sources, tmp_path / "out", Diverged())


def test_two_at_once(tmp_path: Path, sources: list[Path]) -> None:
    class Nested(ColourEncoder):
        def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
            with pytest.raises(CollectionError, match="another process is encoding into it"):
                encode(sources, tmp_path / "out")
            return super().encode_pixels(pixels)

    assert encode(sources, tmp_path / "out", Nested()).encoded == 27
