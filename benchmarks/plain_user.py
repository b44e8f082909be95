"""USER written plainly, as one would type it from the paper: the other side of `training_step.py`.

Eager float32 on the CPU. A batch is a list of image-caption pairs, collated one by one and padded
to the longest caption; an image is read and encoded again with each of its captions, the frozen
layers of the text encoder run each step, for the query and for the momentum encoder. No dropout.
Module names are those of `user_itr`, so that both sides can start from the same weights.

The formulas are the paper's (arXiv 2301.06844) with the choices of docs/method.md: BatchNorm over
every region, other captions of an image are no negatives, an image counts once in a batch however
many captions it brings, and the momentum encoders normalise with running statistics.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import AutoModel

from user_itr.config.settings import Settings


@dataclass
class Item:
    """One pair: the raw regions (K, d) of a view, the window to pool, guide (G,), ids (L,)."""

    regions: Tensor
    window: tuple[slice, slice]
    guide: Tensor
    ids: Tensor
    owner: int


@dataclass
class PairBatch:
    """P pairs, those of an image side by side, and the row of each image's first pair."""

    regions: Tensor
    guides: Tensor
    ids: Tensor
    mask: Tensor
    owner: Tensor
    first: Tensor


class PlainData:
    """Grid pooling and PCA of every item, then one padded batch."""

    def __init__(self, grid: int, mean: Tensor, projection: Tensor) -> None:
        self.grid = grid
        self.mean = mean
        self.projection = projection

    def compact(self, item: Item) -> Tensor:
        side = math.isqrt(len(item.regions))
        grid = item.regions.t().reshape(-1, side, side)[:, item.window[0], item.window[1]]
        pooled = F.adaptive_avg_pool2d(grid, self.grid).flatten(1).t()
        return (pooled - self.mean) @ self.projection

    def collate(self, items: Sequence[Item]) -> PairBatch:
        longest = max(len(item.ids) for item in items)
        regions, guides = [], []
        ids = torch.zeros(len(items), longest, dtype=torch.long)
        mask = torch.zeros(len(items), longest, dtype=torch.bool)
        first: list[int] = []
        for row, item in enumerate(items):
            regions.append(self.compact(item))
            guides.append(item.guide)
            ids[row, : len(item.ids)] = item.ids
            mask[row, : len(item.ids)] = True
            if row == 0 or item.owner != items[row - 1].owner:
                first.append(row)
        owner = torch.tensor([item.owner for item in items])
        return PairBatch(
            torch.stack(regions), torch.stack(guides), ids, mask, owner, torch.tensor(first)
        )


class SelfGuide(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.local = nn.Linear(width, width)
        self.local_norm = nn.BatchNorm1d(width)
        self.mean = nn.Linear(width, width)
        self.mean_norm = nn.BatchNorm1d(width)
        self.common = nn.Linear(width, 1)

    def forward(self, regions: Tensor) -> Tensor:
        local = self.local_norm(self.local(regions).transpose(1, 2)).transpose(1, 2)
        query = torch.tanh(self.mean_norm(self.mean(regions.mean(dim=1))))
        scores = self.common(torch.tanh(local) * query.unsqueeze(1)).squeeze(-1)
        weights = torch.softmax(scores, dim=1)
        return F.normalize((weights.unsqueeze(-1) * regions).sum(dim=1), dim=-1)


class GlobalGuide(nn.Module):
    def __init__(self, guide_width: int, width: int, embedding: int) -> None:
        super().__init__()
        self.regions = nn.Linear(guide_width, width)
        self.residual = nn.Linear(guide_width, embedding)

    def forward(self, guide: Tensor) -> tuple[Tensor, Tensor]:
        unit = F.normalize(guide, dim=-1)
        return F.normalize(self.regions(unit), dim=-1), self.residual(unit)


def enhance(regions: Tensor, vector: Tensor) -> Tensor:
    attention = torch.softmax((regions * vector.unsqueeze(1)).sum(dim=-1), dim=1)
    attention = F.normalize(attention, dim=-1)
    return regions + attention.unsqueeze(-1) * vector.unsqueeze(1)


class Projection(nn.Module):
    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, embedding)
        self.hidden = nn.Linear(width, embedding // 2)
        self.norm = nn.BatchNorm1d(embedding // 2)
        self.output = nn.Linear(embedding // 2, embedding)

    def forward(self, regions: Tensor) -> Tensor:
        hidden = self.norm(self.hidden(regions).transpose(1, 2)).transpose(1, 2)
        return self.linear(regions) + self.output(F.relu(hidden))


class GPO(nn.Module):
    """As in VSE-infinity: position codes, a BiGRU run for every item, a sort, a weighted sum."""

    def __init__(self, code_width: int = 32, hidden: int = 32) -> None:
        super().__init__()
        self.code_width = code_width
        self.gru = nn.GRU(code_width, hidden, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(hidden, 1, bias=False)

    def codes(self, count: int) -> Tensor:
        position = torch.arange(count).unsqueeze(1)
        rate = torch.exp(
            torch.arange(0, self.code_width, 2) * (-math.log(10000.0) / self.code_width)
        )
        codes = torch.zeros(count, self.code_width)
        codes[:, 0::2] = torch.sin(position * rate)
        codes[:, 1::2] = torch.cos(position * rate)
        return codes

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        lengths = mask.sum(dim=1)
        codes = self.codes(x.shape[1]).unsqueeze(0).expand(len(x), -1, -1)
        packed = pack_padded_sequence(codes, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        half = states.shape[-1] // 2
        scores = self.linear((states[..., :half] + states[..., half:]) / 2).squeeze(-1)
        weights = torch.softmax(scores.masked_fill(~mask, -10000.0) / 0.1, dim=-1)
        x = x.masked_fill(~mask.unsqueeze(-1), -10000.0)
        ordered = torch.sort(x, dim=1, descending=True).values
        ordered = ordered.masked_fill(~mask.unsqueeze(-1), 0.0)
        return (ordered * weights.unsqueeze(-1)).sum(dim=1)


class PlainImageEncoder(nn.Module):
    def __init__(self, width: int, guide_width: int, embedding: int) -> None:
        super().__init__()
        self.guide = SelfGuide(width)
        self.global_guide = GlobalGuide(guide_width, width, embedding)
        self.projection = Projection(width, embedding)
        self.pooling = GPO()

    def forward(self, regions: Tensor, guides: Tensor) -> Tensor:
        own = self.guide(regions)
        vector, residual = self.global_guide(guides)
        projected = self.projection(enhance(enhance(regions, own), vector))
        mask = torch.ones(regions.shape[:2], dtype=torch.bool)
        return F.normalize(self.pooling(projected, mask) + residual, dim=-1)


class PlainTextEncoder(nn.Module):
    def __init__(self, path: str, embedding: int, trainable_layers: int) -> None:
        super().__init__()
        self.bert = AutoModel.from_pretrained(path, add_pooling_layer=False, dtype=torch.float32)
        self.bert.requires_grad_(False)
        layers = self.bert.encoder.layer
        layers[len(layers) - trainable_layers :].requires_grad_(True)
        for module in self.bert.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        self.linear = nn.Linear(self.bert.config.hidden_size, embedding)
        self.pooling = GPO()

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.bert(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return F.normalize(self.pooling(self.linear(states), mask), dim=-1)


class PlainUSER(nn.Module):
    def __init__(self, image: PlainImageEncoder, text: PlainTextEncoder) -> None:
        super().__init__()
        self.image = image
        self.text = text

    def forward(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        return self.image(batch.regions, batch.guides), self.text(batch.ids, batch.mask)


def phi(scores: Tensor, mask: Tensor, mu: float, gamma: float) -> Tensor:
    """1/mu log(1 + sum of exp(mu (s - gamma)) over the negatives): the mean over queries."""
    return (torch.log(1 + (torch.exp(mu * (scores - gamma)) * mask).sum(dim=1)) / mu).mean()


def positive(scores: Tensor) -> Tensor:
    return -torch.log(1 + F.relu(scores)).mean()


def batch_loss(
    images: Tensor, captions: Tensor, own: Tensor, counts: Tensor, mu: float, gamma: float
) -> Tensor:
    """L_b of B images (B, D) and captions (P, D), those of an image side by side."""
    scores = images @ captions.t()
    mask = 1 - torch.diag_embed(torch.ones(len(images))).repeat_interleave(counts, dim=1)
    pairs = (own * captions).sum(dim=1)
    return phi(scores, mask, mu, gamma) + phi(scores.t(), mask.t(), mu, gamma) + positive(pairs)


class PlainTraining:
    """The training loop's step, its optimizer, momentum encoders and queues.

    Args:
        model: the query encoders.
        settings: rates, weights and sizes of the run; the schedule is the cosine.
        steps: of the whole run, for the schedule.
    """

    def __init__(self, model: PlainUSER, settings: Settings, steps: int) -> None:
        self.model = model.train()
        self.settings = settings
        self.momentum_model = copy.deepcopy(model).eval()
        self.updates = 0
        width = settings.model.embedding
        self.image_queue, self.image_owners = torch.zeros(0, width), torch.zeros(0).long()
        self.text_queue, self.text_owners = torch.zeros(0, width), torch.zeros(0).long()
        rates = settings.optimizer
        bert = [p for p in model.text.bert.parameters() if p.requires_grad]
        others = [p for n, p in model.named_parameters() if not n.startswith("text.bert.")]
        self.optimizer = torch.optim.AdamW(
            [{"params": others, "lr": rates.rate}, {"params": bert, "lr": rates.text_rate}],
            weight_decay=rates.weight_decay,
        )
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda step: (
                min(1.0, (step + 1) / rates.warmup_steps)
                * 0.5
                * (1 + math.cos(math.pi * min(1.0, step / steps)))
            ),
        )

    def encode(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        return self.model(batch)

    def encode_keys(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return self.momentum_model(batch)

    def loss(
        self, batch: PairBatch, queries: tuple[Tensor, Tensor], keys: tuple[Tensor, Tensor]
    ) -> Tensor:
        objective = self.settings.objective
        mu, gamma = objective.sharpness, objective.threshold
        (images, captions), (image_keys, text_keys) = queries, keys
        ends = torch.cat([batch.first[1:], torch.tensor([len(captions)])])
        counts = ends - batch.first
        distinct, owner = images[batch.first], batch.owner[batch.first]
        among = batch_loss(distinct, captions, images, counts, mu, gamma)
        to_text = (owner.unsqueeze(1) != self.text_owners).float()
        to_images = (batch.owner.unsqueeze(1) != self.image_owners).float()
        queued = (
            phi(distinct @ self.text_queue.t(), to_text, mu, gamma)
            + positive((images * text_keys).sum(dim=1))
            + phi(captions @ self.image_queue.t(), to_images, mu, gamma)
            + positive((captions * image_keys).sum(dim=1))
        )
        return objective.batch_weight * among + objective.queue_weight * queued

    def enqueue(self, batch: PairBatch, keys: tuple[Tensor, Tensor]) -> None:
        length = self.settings.momentum.queue_length
        first = batch.first
        self.image_queue = torch.cat([self.image_queue, keys[0][first]])[-length:]
        self.image_owners = torch.cat([self.image_owners, batch.owner[first]])[-length:]
        self.text_queue = torch.cat([self.text_queue, keys[1]])[-length:]
        self.text_owners = torch.cat([self.text_owners, batch.owner])[-length:]

    def optimize(self) -> None:
        trained = [p for p in self.model.parameters() if p.requires_grad]
        torch.nn.utils.clip_grad_norm_(trained, self.settings.optimizer.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.scheduler.step()

    @torch.no_grad()
    def update_momentum(self) -> None:
        m = self.settings.momentum.momentum
        for query, key in zip(
            self.model.parameters(), self.momentum_model.parameters(), strict=True
        ):
            key.data = key.data * m + query.data * (1 - m)
        rate = min(m, (1 + self.updates) / (10 + self.updates))
        for query, key in zip(self.model.buffers(), self.momentum_model.buffers(), strict=True):
            if key.is_floating_point():
                key.data = key.data * rate + query.data * (1 - rate)
        self.updates += 1
