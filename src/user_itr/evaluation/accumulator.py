"""An evaluation that grows batch by batch, as a training loop meets it, on one rank or on many."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from user_itr.errors import DataError
from user_itr.evaluation.api import Evaluation, Ids, evaluate
from user_itr.evaluation.embedding_scores import Embeddings
from user_itr.evaluation.metrics import DEFAULT_KS
from user_itr.evaluation.ranks import TieRule
from user_itr.evaluation.tensors import is_tensor, to_array


class RetrievalAccumulator:
    """Collects embeddings by `update`, evaluates all by `compute`, and begins anew by `reset`.

    Where `torch.distributed` is initialised, `compute` gathers what all ranks have, and every rank
    gets the figures of the whole: the same as those of one rank, because items are told by ids and
    counted once. All ranks must call it.

    Example:
        >>> import numpy as np
        >>> from user_itr.evaluation import RetrievalAccumulator
        >>> found = RetrievalAccumulator(ks=(1, 2))
        >>> images, captions = np.eye(2), np.array([[0.6, 0.8], [0.8, 0.6], [0.0, 1.0]])
        >>> found.update(images[[0]], captions[:2], image_ids=["a"], caption_image_ids=["a", "a"])
        >>> found.update(images[[1]], captions[2:], image_ids=["b"])
        >>> round(found.compute().rsum, 1)
        366.7
        >>> found.reset()

    Args:
        ks: cut-offs of recall.
        ties: see `TieRule`.
        resamples: draws behind the 95 % intervals; 0 for none.
        normalise: scores are cosines; False for dot products.
    """

    def __init__(
        self,
        ks: Sequence[int] = DEFAULT_KS,
        *,
        ties: TieRule = "pessimistic",
        resamples: int = 0,
        normalise: bool = True,
    ) -> None:
        self._options: dict[str, Any] = {
            "ks": tuple(ks),
            "ties": ties,
            "resamples": resamples,
            "normalise": normalise,
        }
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._images: list[np.ndarray] = []
        self._captions: list[np.ndarray] = []
        self._image_ids: list[int | str] = []
        self._owners: list[int | str] = []
        self._caption_ids: list[int | str | None] = []

    def update(
        self,
        images: Embeddings,
        captions: Embeddings,
        *,
        image_ids: Ids,
        caption_image_ids: Ids | None = None,
        caption_ids: Ids | None = None,
    ) -> None:
        """Add a batch; it is copied to the computer's memory.

        Args:
            images: (B, D). An image may come again, with the same row.
            captions: (C, D).
            image_ids: B ids.
            caption_image_ids: C ids, of the image of each caption; `image_ids` by default, for
                batches of pairs.
            caption_ids: C ids. Needed where a caption may come again, as from a sampler that pads
                so that all ranks have as many; give them in every call, or in none.

        Raises:
            DataError: if the numbers of rows and ids do not fit.
        """
        owners = image_ids if caption_image_ids is None else caption_image_ids
        rows = [to_array(images), to_array(captions)]
        keys = [_list(image_ids), _list(owners)]
        ids: list[Any] = [None] * len(rows[1]) if caption_ids is None else _list(caption_ids)
        for name, found, side in (
            ("image_ids", keys[0], rows[0]),
            ("caption_image_ids", keys[1], rows[1]),
            ("caption_ids", ids, rows[1]),
        ):
            if len(found) != len(side):
                raise DataError(f"{name} holds {len(found)} ids for {len(side)} rows.")
        self._images.append(np.array(rows[0]))
        self._captions.append(np.array(rows[1]))
        self._image_ids += keys[0]
        self._owners += keys[1]
        self._caption_ids += ids

    def compute(self) -> Evaluation:
        """Evaluate everything that was added, on all ranks.

        Raises:
            DataError: if nothing was added, or as `evaluate`.
        """
        parts = _gathered(
            (self._images, self._captions, self._image_ids, self._owners, self._caption_ids)
        )
        images = [block for part in parts for block in part[0]]
        captions = [block for part in parts for block in part[1]]
        image_ids, owners, keys = (
            [key for part in parts for key in part[place]] for place in (2, 3, 4)
        )
        if not images or not captions:
            raise DataError("nothing was added; call update before compute.")
        caption_ids = None if all(key is None for key in keys) else keys
        if caption_ids and None in caption_ids:
            raise DataError("caption_ids were given in some calls of update, not in all.")
        return evaluate(
            np.concatenate(images),
            np.concatenate(captions),
            image_ids=image_ids,
            caption_ids=caption_ids,
            caption_image_ids=owners,
            **self._options,
        )


def _list(ids: Ids) -> list[int | str]:
    values = to_array(ids) if is_tensor(ids) else ids
    return list(values.tolist() if isinstance(values, np.ndarray) else values)


def _gathered(own: Any) -> list[Any]:
    """The values of all ranks, in rank order; without other ranks, this process's value."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available():
        return [own]
    if not torch.distributed.is_initialized():
        return [own]
    found: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, own)
    return found
