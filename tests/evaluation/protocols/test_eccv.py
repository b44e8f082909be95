from __future__ import annotations

import builtins
import json
import sys

import numpy as np
import pytest

from user_itr.errors import DataError, MissingExtraError
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.protocols.eccv import EccvGroundTruth, eccv_metrics
from user_itr.evaluation.scores import MatrixScores

KS = (1, 5, 10)
ECCV = ("eccv_r1", "eccv_map_at_r", "eccv_rprecision")


@pytest.fixture
def package(recwarn):
    """The package with its own annotations; it warns that it has no ujson."""
    return pytest.importorskip("eccv_caption").Metrics()


def ranked(similarity, queries, candidates, depth=None):
    """Complete lists of ids by similarity, as the package takes them."""
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :depth]
    return dict(zip(queries, np.asarray(candidates)[order].tolist(), strict=True))


def figures(found):
    """Ours by the package's names, as fractions."""
    document = found.to_dict()
    names = {"eccv_r1": "R@1", "eccv_map_at_r": "mAP@R", "eccv_rprecision": "R-Precision"}
    values = {
        ours: {way: document["eccv"][way][name] / 100 for way in ("i2t", "t2i")}
        for ours, name in names.items()
    }
    for group in ("coco_1k", "coco_5k", "cxc"):
        for k in KS:
            values[f"{group}_r{k}"] = {
                way: document[group][way][f"R@{k}"] / 100 for way in ("i2t", "t2i")
            }
    return values


def reduced(package, folder, seed):
    """The package's object with a ground truth of 40 images and 200 captions in its file layout."""
    random = np.random.default_rng(seed)
    images = random.permutation(500)[:40].tolist()
    captions = random.permutation(9000)[:200].tolist()
    coco = {image: captions[5 * row : 5 * row + 5] for row, image in enumerate(images)}
    back = {caption: [image] for image, found in coco.items() for caption in found}

    def more(matches, candidates, share, size):
        some = [one for one in matches if random.random() < share]
        extra = {one: random.permutation(candidates)[: random.integers(size)] for one in some}
        return {one: sorted({*matches[one], *map(int, extra[one])}) for one in some}

    cxc = more(coco, captions, 0.9, 4)
    cxc_back = {}
    for image, found in cxc.items():
        for caption in found:
            cxc_back.setdefault(caption, []).append(image)
    eccv, eccv_back = more(coco, captions, 0.4, 20), more(back, images, 0.1, 12)

    def put(name, matches):
        path = folder / f"{name}.json"
        path.write_text(json.dumps({str(one): found for one, found in matches.items()}))
        return str(path)

    package.set_coco_gts(put("coco_i2t", coco), put("coco_t2i", back))
    package.set_cxc_gts(put("cxc_i2t", cxc), put("cxc_t2i", cxc_back))
    package.set_eccv_gts(put("eccv_i2t", eccv), put("eccv_t2i", eccv_back))
    package.coco_ids = np.array(captions)
    return images, captions


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_package_on_the_same_ranks(package, tmp_path, seed):
    """All of its metrics, items in another order than the ground truth's."""
    images, captions = reduced(package, tmp_path, seed)
    random = np.random.default_rng(seed + 50)
    images, captions = random.permutation(images).tolist(), random.permutation(captions).tolist()
    similarity = random.normal(size=(40, 200))
    for row, image in enumerate(images):
        for caption in package.coco_gts["i2t"][image]:
            similarity[row, captions.index(caption)] += random.exponential(2)
    expected = package.compute_all_metrics(
        ranked(similarity, images, captions),
        ranked(similarity.T, captions, images),
        target_metrics=(*ECCV, "coco_1k_recalls", "coco_5k_recalls", "cxc_recalls"),
        Ks=KS,
    )
    found = eccv_metrics(
        MatrixScores(similarity), images, captions, KS, truth=EccvGroundTruth.of(package)
    )
    ours = figures(found)
    assert ours.keys() == expected.keys()
    for name, values in expected.items():
        assert ours[name] == pytest.approx(values, abs=1e-9), name


def test_equals_the_package_on_its_own_annotations(package):
    """5,000 x 25,000; lists of 50 hold all that these metrics look at."""
    truth = EccvGroundTruth.load()
    random = np.random.default_rng(0)
    images, captions = list(truth.coco), list(truth.caption_order)
    image_rows = {image: row for row, image in enumerate(images)}
    latent = random.normal(size=(5000, 16))
    owner = [image_rows[package.coco_gts["t2i"][caption][0]] for caption in captions]
    image_side = (latent + 0.3 * random.normal(size=latent.shape)).astype(np.float32)
    caption_side = latent[owner] + 0.3 * random.normal(size=(25_000, 16))
    caption_side = caption_side.astype(np.float32)

    def lists(rows, columns, queries, candidates):
        found = {}
        for start in range(0, len(rows), 500):
            scores = rows[start : start + 500].astype(float) @ columns.T.astype(float)
            top = np.argpartition(-scores, 50, axis=1)[:, :50]
            best = np.take_along_axis(scores, top, axis=1).argsort(axis=1)[:, ::-1]
            order = np.take_along_axis(top, best, axis=1)
            ids = np.asarray(candidates)[order].tolist()
            found.update(zip(queries[start : start + 500], ids, strict=True))
        return found

    expected = package.compute_all_metrics(
        lists(image_side, caption_side, images, captions),
        lists(caption_side, image_side, captions, images),
        target_metrics=(*ECCV, "coco_5k_recalls", "cxc_recalls"),
        Ks=KS,
    )
    found = eccv_metrics(EmbeddingScores(image_side, caption_side), images, captions, KS)
    ours = figures(found)
    for name, values in expected.items():
        assert ours[name] == pytest.approx(values, abs=1e-9), name
    assert 0.01 < ours["coco_5k_r1"]["t2i"] < ours["coco_1k_r1"]["t2i"] < 0.99
    assert (found.eccv["i2t"].queries, found.eccv["i2t"].positives) == (1261, 22_550)
    assert (found.eccv["t2i"].queries, found.eccv["t2i"].positives) == (1332, 11_279)
    # CxC's captions of images and images of captions are one set of pairs.
    pairs = {(image, caption) for image, ones in truth.cxc.items() for caption in ones}
    back = package.cxc_gts["t2i"]
    assert pairs == {(image, caption) for caption, ones in back.items() for image in ones}


def test_a_constant_model_gets_nothing(package, tmp_path):
    images, captions = reduced(package, tmp_path, 0)
    found = eccv_metrics(
        MatrixScores(np.zeros((40, 200))), images, captions, truth=EccvGroundTruth.of(package)
    )
    first = [found for name, found in figures(found).items() if not name.endswith(("5", "10"))]
    assert len(first) == 6
    assert all(value == 0 for one in first for value in one.values())


def test_other_items_are_refused(package, tmp_path):
    images, captions = reduced(package, tmp_path, 0)
    truth, scores = EccvGroundTruth.of(package), MatrixScores(np.zeros((40, 200)))
    with pytest.raises(DataError, match="captions of this split have no MSCOCO ids"):
        eccv_metrics(scores, images, None, truth=truth)
    with pytest.raises(DataError, match=rf"1 of the 40 images .*\(the first is {images[0]}\)"):
        eccv_metrics(scores, [*images[1:], 99_999], captions, truth=truth)
    with pytest.raises(DataError, match="1 of the 200 captions"):
        eccv_metrics(scores, images, [99_999, *captions[1:]], truth=truth)


def test_items_beyond_the_test_are_left_out(package, tmp_path):
    images, captions = reduced(package, tmp_path, 1)
    truth = EccvGroundTruth.of(package)
    similarity = np.random.default_rng(1).normal(size=(40, 200))
    expected = eccv_metrics(MatrixScores(similarity), images, captions, truth=truth)
    more = np.pad(similarity, ((2, 0), (0, 3)), constant_values=9.0)
    ids = [70_001, 70_002, *images], [*captions, 80_001, 80_002, 80_003]
    assert eccv_metrics(MatrixScores(more), *ids, truth=truth) == expected


def test_without_the_package_the_extra_is_named(monkeypatch):
    imported = builtins.__import__

    def refuse(name, *args, **more):
        if name == "eccv_caption":
            raise ImportError(name)
        return imported(name, *args, **more)

    monkeypatch.delitem(sys.modules, "eccv_caption", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"pip install 'user-itr\[eccv\]'"):
        EccvGroundTruth.load()
