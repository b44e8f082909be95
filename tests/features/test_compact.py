from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from user_itr.errors import FeatureError
from user_itr.features.compact import Compactor


def raw(rows: int = 300, side: int = 4, width: int = 6, seed: int = 0) -> np.ndarray:
    """Correlated features with a mean far from 0 and very unequal variances."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(rows, side * side, width)) * 2.0 ** -np.arange(width)
    rotation, _ = np.linalg.qr(rng.normal(size=(width, width)))
    return (mixed @ rotation + rng.normal(size=width)).astype(np.float32)


def plain_pool(regions: np.ndarray, side: int, grid: int) -> np.ndarray:
    """Means over cells whose borders are floor and ceil of even divisions, by loops."""
    maps = regions.reshape(len(regions), side, side, -1)
    cells = []
    for i in range(grid):
        for j in range(grid):
            top, bottom = i * side // grid, math.ceil((i + 1) * side / grid)
            left, right = j * side // grid, math.ceil((j + 1) * side / grid)
            cells.append(maps[:, top:bottom, left:right].mean(axis=(1, 2)))
    return np.stack(cells, axis=1)


@pytest.mark.parametrize(("side", "grid"), [(4, 2), (6, 3), (7, 3), (5, 4), (4, 1), (4, 4)])
def test_pooling_against_a_loop(side: int, grid: int) -> None:
    features = raw(5, side)
    compactor = Compactor(side * side, 6, grid, None)
    got = compactor(torch.from_numpy(features))
    assert (compactor.regions, compactor.width) == (grid * grid, 6)
    np.testing.assert_allclose(got.numpy(), plain_pool(features, side, grid), atol=1e-6)


def test_nothing_to_do_is_the_identity() -> None:
    features = raw(3)
    compactor = Compactor(16, 6, None, None)
    compactor.fit(features, np.arange(3))
    assert np.array_equal(compactor(torch.from_numpy(features)).numpy(), features)
    assert compactor.state_dict() == {}


@pytest.mark.parametrize("components", [6, 3])
def test_full_whitening_gives_equal_uncorrelated_variances_and_mean_norm_one(
    components: int,
) -> None:
    features = raw()
    compactor = Compactor(16, 6, 2, components)
    compactor.fit(features, np.arange(300), whitening=1.0)
    compact = compactor(torch.from_numpy(features)).double().numpy()
    assert compact.shape == (300, 4, components)
    flat = compact.reshape(-1, components)
    np.testing.assert_allclose(flat.mean(axis=0), 0, atol=1e-4)
    norm = np.sqrt((flat**2).sum(axis=1)).mean()
    assert norm == pytest.approx(1, abs=2e-3)
    covariance = np.cov(flat.T, bias=True)
    scale = np.trace(covariance) / components
    np.testing.assert_allclose(covariance, scale * np.eye(components), atol=5e-3 * scale)


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_whitening_against_numpys_svd(whitening: float) -> None:
    features = raw()
    compactor = Compactor(16, 6, None, 4)
    compactor.fit(features, np.arange(300), whitening)
    flat = features.reshape(-1, 6).astype(np.float64)
    centred = flat - flat.mean(axis=0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    variances = singular[:4] ** 2 / len(flat)
    expected = centred @ axes[:4].T * variances ** (-whitening / 2)
    expected /= np.sqrt((expected**2).sum(axis=1)).mean()
    got = compactor(torch.from_numpy(features)).reshape(-1, 4).double().numpy()
    signs = np.sign((got * expected).sum(axis=0))
    np.testing.assert_allclose(got * signs, expected, atol=5e-3)


def test_only_the_given_rows_are_looked_at() -> None:
    features = raw()
    rows = np.array([5, 200, 7, 31, 90, 250])
    spoilt = np.full_like(features, np.nan)
    spoilt[rows] = features[rows]
    fitted = [Compactor(16, 6, 2, 3), Compactor(16, 6, 2, 3), Compactor(16, 6, 2, 3)]
    fitted[0].fit(features, rows)
    fitted[1].fit(spoilt, rows)
    fitted[2].fit(features, np.arange(6))
    assert torch.equal(fitted[0].projection, fitted[1].projection)
    assert torch.equal(fitted[0].mean, fitted[1].mean)
    assert not torch.allclose(fitted[0].mean, fitted[2].mean)


def test_a_large_set_is_fitted_on_evenly_spread_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("user_itr.features.compact.FIT_VECTORS", 4 * 30)
    features = raw()
    read: list[int] = []

    class Counting(np.ndarray):
        def __getitem__(self, rows: np.ndarray) -> np.ndarray:  # type: ignore[override]
            read.extend(np.atleast_1d(rows).tolist())
            return np.asarray(self)[rows]

    compactor = Compactor(16, 6, 2, 3)
    compactor.fit(features.view(Counting), np.arange(300))
    assert len(set(read)) == 30
    assert (min(read), max(read)) == (0, 299)


def test_apply_to_compacts_the_rows_in_their_order() -> None:
    features = raw().astype(np.float16)
    compactor = Compactor(16, 6, 2, 3)
    compactor.fit(features, np.arange(300))
    rows = np.random.default_rng(0).integers(0, 300, 600)
    got = compactor.apply_to(features, rows)
    assert got.dtype == np.float16
    assert got.shape == (600, 4, 3)
    expected = compactor(torch.from_numpy(features[rows])).numpy()
    np.testing.assert_allclose(got, expected, atol=2e-3)


def test_the_map_is_in_the_state() -> None:
    features = raw()
    first, second = Compactor(16, 6, 2, 3), Compactor(16, 6, 2, 3)
    first.fit(features, np.arange(300))
    assert set(first.state_dict()) == {"mean", "projection"}
    second.load_state_dict(first.state_dict())
    x = torch.from_numpy(features[:4])
    assert torch.equal(first(x), second(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((36 - 1, 6, 2, None), r"features\.grid: 35 regions are no square grid; leave"),
        ((16, 6, 5, None), r"features\.grid: 5 is finer than the features' 4 x 4; give at most 4"),
        ((16, 6, None, 7), r"features\.width: 7 is more than the features' 6; give at most 6"),
    ],
)
def test_targets_that_do_not_fit(
    arguments: tuple[int, int, int | None, int | None], message: str
) -> None:
    with pytest.raises(FeatureError, match=message):
        Compactor(*arguments)
