"""The rank of the best-placed right candidate of every query, from embeddings, without sorting.

Scores are dot products taken in float64 and compared as float32. In float32 arithmetic, equal
candidates get scores that differ in the last bit by their place in the matrix, so that ties, and
with them the recall of a collapsed model, would hang on the block size and on the BLAS. Rounding
a float64 product makes equal candidates tie, and keeps autocast and TF32 out of the result.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
import torch

from user_itr.errors import ConfigError, DataError

Embeddings: TypeAlias = "np.ndarray | torch.Tensor"
"""(rows, D) of any float type: a NumPy array, a memory map, or a tensor on the CPU or a GPU."""

TieRule = Literal["pessimistic", "optimistic"]
"""Whether candidates that score as high as the positive stand before it."""

BLOCK_BYTES = 64 * 2**20
"""Memory for the scores of one block of queries, over which the default block is cut."""

_BYTES_PER_SCORE = 8 + 4 + 1  # float64 product, its float32 rounding, the mask of those ahead
_SQUARE_LIMIT = float(np.finfo(np.float32).max)  # squared norms below it: no score overflows


@torch.no_grad()
def retrieval_ranks(
    queries: Embeddings,
    candidates: Embeddings,
    positives: tuple[np.ndarray, np.ndarray],
    *,
    ties: TieRule = "pessimistic",
    block: int | None = None,
    sides: tuple[str, str] = ("queries", "candidates"),
) -> np.ndarray:
    """Rank of each query's best-ranked positive: 1 + the candidates, not positives, before it.

    Memory: the candidates in float64, (C, D), and one block of scores, (block, C). The product
    runs where the tensors are, on the CPU for arrays.

    Args:
        queries: (Q, D), any float type.
        candidates: (C, D), any float type.
        positives: which candidates are right for each query, as CSR: offsets (Q + 1,) int and
            indices (P,) int in [0, C); those of query i are `indices[offsets[i]:offsets[i + 1]]`.
        ties: "pessimistic" puts candidates with the positive's score before it, "optimistic"
            after it. Other positives of the query count in neither.
        block: queries scored at once; by default as many as fit `BLOCK_BYTES`.
        sides: what queries and candidates are called in error messages.

    Returns:
        (Q,) int64, 1 is best.

    Raises:
        DataError: if a row holds NaN, infinity or values too large to score, the shapes or types
            do not fit, a query has no positive, or a positive is outside the candidates.
        ConfigError: if `ties` or `block` has a bad value.
    """
    if ties not in get_args(TieRule):
        raise ConfigError(f"ties is {ties!r}; use one of {', '.join(get_args(TieRule))}.")
    if block is not None and block < 1:
        raise ConfigError(f"block is {block}; use at least 1 query a block.")
    for values, side in zip((queries, candidates), sides, strict=True):
        _check_matrix(values, side)
    if queries.shape[1] != candidates.shape[1]:
        raise DataError(
            f"{sides[0]} are {queries.shape[1]} wide and {sides[1]} {candidates.shape[1]}; "
            "embed both with the same model."
        )
    n_queries, n_candidates = len(queries), len(candidates)
    offsets, indices = _check_positives(positives, n_queries, n_candidates, sides)
    if block is None:
        block = max(1, BLOCK_BYTES // (_BYTES_PER_SCORE * n_candidates))
    block = min(block, n_queries)

    tensors = [values for values in (candidates, queries) if isinstance(values, torch.Tensor)]
    device = tensors[0].device if tensors else torch.device("cpu")
    matrix = _scorable(candidates, 0, sides[1], device).T  # (D, C)
    product = torch.empty(block, n_candidates, dtype=torch.float64, device=device)
    rounded = torch.empty(block, n_candidates, dtype=torch.float32, device=device)
    ranks = np.empty(n_queries, np.int64)
    for start in range(0, n_queries, block):
        stop = min(start + block, n_queries)
        rows = _scorable(queries[start:stop], start, sides[0], device)
        scores = rounded[: stop - start]  # (b, C)
        scores.copy_(torch.mm(rows, matrix, out=product[: stop - start]))

        bounds = offsets[start : stop + 1]
        owner = torch.from_numpy(np.repeat(np.arange(stop - start), np.diff(bounds))).to(device)
        column = torch.from_numpy(indices[bounds[0] : bounds[-1]]).to(device)
        best = scores.new_full((stop - start,), -torch.inf)
        best.scatter_reduce_(0, owner, scores[owner, column], "amax")
        scores[owner, column] = -torch.inf  # positives are never before a positive
        ahead = scores >= best[:, None] if ties == "pessimistic" else scores > best[:, None]
        ranks[start:stop] = 1 + ahead.count_nonzero(dim=1).cpu().numpy()
    return ranks


def _check_matrix(values: Embeddings, side: str) -> None:
    is_float = (
        values.is_floating_point()
        if isinstance(values, torch.Tensor)
        else np.issubdtype(values.dtype, np.floating)
    )
    if not is_float:
        raise DataError(f"{side} are {values.dtype}; give embeddings of a float type.")
    if values.ndim != 2 or 0 in values.shape:
        raise DataError(
            f"{side} have shape {tuple(values.shape)}; give (rows, width) with neither zero."
        )


def _check_positives(
    positives: tuple[np.ndarray, np.ndarray],
    n_queries: int,
    n_candidates: int,
    sides: tuple[str, str],
) -> tuple[np.ndarray, np.ndarray]:
    offsets, indices = (np.asarray(part) for part in positives)
    for name, part in (("offsets", offsets), ("indices", indices)):
        if part.ndim != 1 or not np.issubdtype(part.dtype, np.integer):
            raise DataError(
                f"{name} of the positives are {part.dtype}, {part.shape}; give 1-D int."
            )
    offsets, indices = offsets.astype(np.int64), indices.astype(np.int64)
    if len(offsets) != n_queries + 1 or offsets[0] != 0 or offsets[-1] != len(indices):
        raise DataError(
            f"offsets of the positives do not fit {n_queries} {sides[0]} and {len(indices)} "
            f"indices; give {n_queries + 1} offsets that run from 0 to {len(indices)}."
        )
    counts = np.diff(offsets)
    if (counts < 1).any():
        row = int(np.argmax(counts < 1))
        raise DataError(
            f"{sides[0]}, row {row}: {counts[row]} positives among the {sides[1]}; "
            "leave out queries without one."
        )
    outside = (indices < 0) | (indices >= n_candidates)
    if outside.any():
        at = int(np.argmax(outside))
        row = int(np.searchsorted(offsets, at, side="right")) - 1
        raise DataError(
            f"{sides[0]}, row {row}: its positive, row {indices[at]}, is outside "
            f"the {n_candidates} {sides[1]}."
        )
    return offsets, indices


def _scorable(values: Embeddings, first: int, side: str, device: torch.device) -> torch.Tensor:
    """The rows in float64 on `device`, once each is known to be finite; `first` names row 0."""
    if isinstance(values, torch.Tensor):
        rows = values.detach().to(device, torch.float64)
    else:
        rows = torch.from_numpy(np.array(values, np.float64, order="C")).to(device)
    good = torch.einsum("nd,nd->n", rows, rows) <= _SQUARE_LIMIT  # NaN compares false
    if not bool(good.all()):
        row = first + int(torch.argmin(good.to(torch.uint8)))
        raise DataError(
            f"{side}, row {row}: holds NaN, infinity or values too large to score; "
            "look for a diverged training run or a damaged embedding file."
        )
    return rows
