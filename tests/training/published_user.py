"""USER as its authors train it, restated in plain PyTorch from the paper and their description.

Nothing here comes from `user_itr`: modules, momentum, queues, losses, optimizer and schedule are
written out, for small widths and without care for speed. Only the layers' names are those of our
model, so that both can start from the same weights.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from transformers import BertModel


def unit(x: Tensor) -> Tensor:
    return x / (x.pow(2).sum(dim=-1, keepdim=True).sqrt() + 1e-8)


class SortedPooling(nn.Module):
    """GPO: one weight for each place in the order of a feature's values, by a GRU over the places.

    A set's weights are computed from its own size, one set after the other.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(32, 32, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(32, 1, bias=False)

    def forward(self, x: Tensor, sizes: list[int]) -> Tensor:
        return torch.stack([self.one(row[:size]) for row, size in zip(x, sizes, strict=True)])

    def one(self, x: Tensor) -> Tensor:
        codes = torch.zeros(len(x), 32)
        for place in range(len(x)):
            for pair in range(16):
                angle = place * math.exp(-2 * pair * math.log(10000.0) / 32)
                codes[place, 2 * pair], codes[place, 2 * pair + 1] = (
                    math.sin(angle),
                    math.cos(angle),
                )
        states = self.gru(codes.unsqueeze(0))[0][0]
        weights = torch.softmax(self.linear((states[:, :32] + states[:, 32:]) / 2) / 0.1, dim=0)
        return (x.sort(dim=0, descending=True).values * weights).sum(dim=0)


class Guide(nn.Module):
    """SGE, and the enhancement of the regions by its vector."""

    def __init__(self, width: int, regions: int) -> None:
        super().__init__()
        self.local, self.local_norm = nn.Linear(width, width), nn.BatchNorm1d(regions)
        self.mean, self.mean_norm = nn.Linear(width, width), nn.BatchNorm1d(width)
        self.common = nn.Linear(width, 1)
        self.dropout = nn.Dropout(0.4)

    def forward(self, regions: Tensor) -> Tensor:
        local = self.dropout(self.local_norm(self.local(regions)).tanh())
        query = self.dropout(self.mean_norm(self.mean(regions.mean(dim=1))).tanh())
        weights = torch.softmax(self.common(local * query[:, None]).squeeze(2), dim=1)
        vector = unit((weights[:, :, None] * regions).sum(dim=1))
        attention = unit(torch.softmax((regions * vector[:, None]).sum(dim=2), dim=1))
        return regions + attention[:, :, None] * vector[:, None]


class Projection(nn.Module):
    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, embedding)
        self.hidden, self.norm = nn.Linear(width, embedding // 2), nn.BatchNorm1d(embedding // 2)
        self.output = nn.Linear(embedding // 2, embedding)

    def forward(self, regions: Tensor) -> Tensor:
        flat = regions.flatten(0, 1)
        hidden = self.norm(self.hidden(flat)).relu()
        return (self.output(hidden) + self.linear(flat)).view(*regions.shape[:2], -1)


class ImageSide(nn.Module):
    def __init__(self, width: int, regions: int, embedding: int) -> None:
        super().__init__()
        self.guide, self.projection = Guide(width, regions), Projection(width, embedding)
        self.pooling = SortedPooling()

    def forward(self, regions: Tensor) -> Tensor:
        projected = self.projection(self.guide(regions))
        return unit(self.pooling(projected, [regions.shape[1]] * len(regions)))


class Tokens(nn.Module):
    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.base = bert


class TextSide(nn.Module):
    def __init__(self, bert: BertModel, embedding: int) -> None:
        super().__init__()
        self.tokens = Tokens(bert)
        self.linear = nn.Linear(bert.config.hidden_size, embedding)
        self.pooling = SortedPooling()

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.tokens.base(ids, mask.float()).last_hidden_state
        return unit(self.pooling(self.linear(states), mask.sum(dim=1).tolist()))


class PublishedUser:
    """One training run, a step at a time.

    Args:
        image: query encoder of regions.
        text: query encoder of captions.
        image_queue: (M, D), what the queue of images begins with; M divides by the batch.
        text_queue: the same for captions.
        rate: of everything but BERT, which has a tenth of it.
        momentum: m.
        batch_weight: lambda.
    """

    def __init__(
        self,
        image: ImageSide,
        text: TextSide,
        image_queue: Tensor,
        text_queue: Tensor,
        rate: float,
        momentum: float,
        batch_weight: float,
    ) -> None:
        self.image, self.text = image.train(), text.train()
        self.image_key, self.text_key = copy.deepcopy(image), copy.deepcopy(text)
        # The image key encoder trains like the query's; the BERT of the text key encoder was copied
        # as it was loaded, in evaluation mode, and nothing else there has a mode.
        self.image_key.train()
        self.text_key.eval()
        self.image_queue, self.text_queue = image_queue.clone(), text_queue.clone()
        self.pointer = 0
        self.momentum, self.batch_weight = momentum, batch_weight
        bert = list(text.tokens.base.parameters())
        others = [*text.linear.parameters(), *text.pooling.parameters(), *image.parameters()]
        self.optimizer = torch.optim.AdamW(
            [{"params": others, "lr": rate}, {"params": bert, "lr": 0.1 * rate}],
            weight_decay=1e-4,
            fused=False,
        )

    def drop_rate(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] *= 0.1

    def step(
        self, regions: Tensor, ids: Tensor, mask: Tensor, image_of: Tensor
    ) -> dict[str, float]:
        """Train on B pairs; caption t describes image image_of[t]."""
        pair = image_of.argsort()  # the caption of each image
        image, text = self.image(regions), self.text(ids, mask)[pair]
        with torch.no_grad():
            for key, query in self.parameters():
                key.mul_(self.momentum).add_(query, alpha=1 - self.momentum)
            image_key, text_key = self.image_key(regions), self.text_key(ids, mask)[pair]
        batch = self.batch_loss(image, text)
        queue = self.queue_loss(image, text_key, self.text_queue)
        queue = queue + self.queue_loss(text, image_key, self.image_queue)
        self.enqueue(image_key, text_key)
        loss = self.batch_weight * batch + queue
        self.optimizer.zero_grad()
        loss.backward()
        clipped = [p for group in self.optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(clipped, 2.0)
        self.optimizer.step()
        return {"loss": loss.item(), "batch": batch.item(), "queue": queue.item()}

    def parameters(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(self.image_key.parameters(), self.image.parameters(), strict=True)
        yield from zip(self.text_key.parameters(), self.text.parameters(), strict=True)

    def batch_loss(self, image: Tensor, text: Tensor) -> Tensor:
        scores = image @ text.T
        own = scores.diag()
        others = scores - torch.diag(own)  # the zeros stay in the sums
        excess = torch.exp(90 * (others - 0.5))
        rows = torch.log(1 + excess.sum(dim=1)) / 90
        columns = torch.log(1 + excess.sum(dim=0)) / 90
        return (rows + columns - torch.log(1 + own.relu())).mean()

    def queue_loss(self, query: Tensor, key: Tensor, queue: Tensor) -> Tensor:
        excess = torch.exp(90 * (query @ queue.clone().T - 0.5))
        own = (query * key).sum(dim=1)
        return (torch.log(1 + excess.sum(dim=1)) / 90 - torch.log(1 + own.relu())).mean()

    def enqueue(self, image_key: Tensor, text_key: Tensor) -> None:
        rows = slice(self.pointer, self.pointer + len(image_key))
        assert len(self.image_queue) % len(image_key) == 0
        self.image_queue[rows], self.text_queue[rows] = image_key, text_key
        self.pointer = rows.stop % len(self.image_queue)
