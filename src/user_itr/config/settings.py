"""Every setting of a training run, with defaults that work, units and ranges.

The whole tree goes into each checkpoint.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from user_itr.config.frozen import MOST, Frozen, Probability
from user_itr.config.inputs import DataSettings, FeatureSettings


class ImageSettings(Frozen):
    """Image branch."""

    enhancement: Literal["none", "self", "clip", "both"] = Field(
        default="self", description="self is SGE, clip is CGE"
    )
    guide_dropout: Probability = Field(default=0.4, description="inside SGE")
    guide_heads: int = Field(default=1, ge=1, le=MOST, description="attention heads of SGE")
    guide_norm_regions: int | None = Field(
        default=None,
        ge=1,
        description="BatchNorm of SGE over the region axis with this fixed count, as in published "
        "checkpoints; None normalises each feature",
    )
    guide_init: Literal["pytorch", "xavier"] = Field(
        default="pytorch",
        description="first weights of SGE's linear layers: PyTorch's own, or Xavier uniform with "
        "zero biases as in the published code",
    )
    guide_residual: bool = Field(
        default=True, description="CGE: add a second projection of the guide to the pooled image"
    )
    projection: Literal["residual", "linear"] = Field(
        default="residual", description="residual is FC(v) + MLP(v), linear is FC(v) alone"
    )
    projection_dropout: Probability = Field(default=0.0, description="in the MLP of residual")
    pooling: Literal["gpo", "mean", "max"] = "gpo"
    attention_scale: float = Field(default=1.0, description="lambda_a of the enhancement")
    region_dropout: Probability = Field(
        default=0.0, description="in training, drop up to this share of an image's regions"
    )

    @property
    def self_guided(self) -> bool:
        """Whether the branch has SGE."""
        return self.enhancement in ("self", "both")

    @property
    def clip_guided(self) -> bool:
        """Whether the branch has CGE."""
        return self.enhancement in ("clip", "both")


class TextSettings(Frozen):
    """Text branch."""

    encoder: str = Field(
        default="minilm",
        description='"minilm" (packaged), "bigru", or a transformers name or local path',
    )
    trainable_layers: Annotated[int, Field(ge=0)] | Literal["all"] = Field(
        default=0,
        description='upper layers that train: 0 freezes the encoder, "all" trains everything',
    )
    cache: bool = Field(
        default=True,
        description="store the frozen part's token states instead of computing them each step",
    )
    dropout: Probability = Field(default=0.0, description="on token states before the linear map")
    pooling: Literal["gpo", "mean", "max"] = "gpo"
    layer_dropout: Probability | None = Field(
        default=None,
        description="dropout inside the trainable layers; the encoder's own by default",
    )
    max_tokens: int | None = Field(
        default=64,
        ge=4,
        le=MOST,
        description="longer captions are cut; None cuts only what the encoder cannot read",
    )
    mask_probability: Probability = Field(
        default=0.2,
        description="per word: half become [MASK], a tenth a random token, the rest are dropped; "
        "with cached states every chosen word is dropped",
    )
    gru_width: int = Field(
        default=1024, ge=1, le=MOST, description="bigru: width of the token states"
    )
    word_width: int = Field(
        default=300, ge=1, le=MOST, description="bigru: width of the word embeddings"
    )
    min_word_count: int = Field(
        default=4, ge=1, description="bigru: rarer train words become unknown"
    )


class ModelSettings(Frozen):
    """The dual encoder."""

    embedding: int = Field(default=1024, ge=2, le=MOST, description="D, width of the joint space")
    image: ImageSettings = ImageSettings()
    text: TextSettings = TextSettings()


class MomentumSettings(Frozen):
    """Momentum encoders and queues."""

    momentum: float = Field(default=0.999, ge=0, le=1)
    policy: Literal["ours", "published"] = Field(
        default="ours",
        description="how keys are computed. ours: without dropout, BatchNorm by running statistics "
        "that follow the query encoder's. published: image keys with dropout and the batch's "
        "statistics, text keys without dropout",
    )
    queue_length: int = Field(default=2048, ge=0, le=10_000_000)
    queue_begins: Literal["empty", "random"] = Field(
        default="empty",
        description="random: full of uniform(0, 1) vectors, scaled to unit length, as in the "
        "published code",
    )
    evaluate: bool = Field(
        default=False,
        description="evaluate and keep the momentum encoders, an average of the weights over time",
    )


class ObjectiveSettings(Frozen):
    """What training minimises: one family, each with a batch's part and a queue's part."""

    kind: Literal["uto", "triplet", "infonce"] = "uto"
    batch_weight: float = Field(default=1.0, ge=0, description="lambda, weight of the batch's part")
    queue_weight: float = Field(default=1.0, ge=0, description="weight of the queue's part")
    queue_start: int = Field(
        default=0, ge=0, description="epochs in which the queues fill but do not count"
    )
    mask_siblings: bool = Field(
        default=True, description="other items of the query's own image are no negatives"
    )
    mask_equal_captions: bool = Field(
        default=False,
        description="images whose captions have a sentence in common are no negatives of that "
        "sentence, nor the sentence of them",
    )
    sharpness: float = Field(default=90.0, gt=0, description="uto: mu")
    threshold: float = Field(default=0.5, ge=-1, le=1, description="uto: gamma")
    margin: float = Field(default=0.2, gt=0, description="triplet: by how much a positive must win")
    negatives: Literal["hardest", "sum"] = Field(
        default="hardest", description="triplet: the hardest negative, or the sum over all"
    )
    summed_epochs: int = Field(
        default=0, ge=0, description="triplet: epochs that begin a run with summed negatives"
    )
    temperature: float = Field(default=0.07, ge=0.01, description="infonce: tau, or its start")
    learned_temperature: bool = Field(default=False, description="infonce: train log(1 / tau)")

    @model_validator(mode="after")
    def _some_part(self) -> ObjectiveSettings:
        if self.batch_weight == 0 and self.queue_weight == 0:
            raise ValueError(
                "objective.batch_weight and objective.queue_weight are both 0, so there is no "
                "loss; give one of them a weight"
            )
        return self


class OptimizerSettings(Frozen):
    """AdamW, its rates and their schedule."""

    rate: float = Field(
        default=5e-4, gt=0, description="learning rate of everything but the text encoder"
    )
    text_rate: float = Field(
        default=5e-5, gt=0, description="learning rate of a pretrained text encoder"
    )
    weight_decay: float = Field(default=1e-4, ge=0)
    clip_norm: float = Field(default=2.0, gt=0, description="largest gradient norm")
    warmup_steps: int = Field(default=0, ge=0)
    schedule: Literal["step", "cosine"] = "step"
    decay_epochs: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(),
        description="step schedule: multiply the rate by decay_factor after these epochs",
    )
    decay_factor: float = Field(default=0.1, gt=0, le=1)


class TrainingSettings(Frozen):
    """The loop."""

    epochs: int = Field(default=20, ge=1, le=1_000_000)
    batch_size: int = Field(
        default=128, ge=2, le=1_000_000, description="images a batch, over all devices"
    )
    captions_per_image: int = Field(
        default=1,
        ge=1,
        description="captions that share one pass of an image; an epoch shows every caption once",
    )
    order: Literal["rounds", "pairs"] = Field(
        default="rounds",
        description="of an epoch. rounds: all images once before one comes again. pairs: images "
        "with their captions in plain random order, as in the published code",
    )
    drop_last: bool = Field(
        default=False, description="leave out an epoch's last batch where it is not full"
    )
    merge_equal_captions: bool = Field(
        default=True, description="equal captions of a batch are augmented and encoded once"
    )
    accumulate: int = Field(default=1, ge=1, le=1_000_000, description="batches an optimizer step")
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "auto"] = Field(
        default="32-true",
        description="auto is bf16-mixed where the device multiplies bfloat16, else 32-true",
    )
    accelerator: str = "auto"
    devices: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["auto"] = Field(
        default=1,
        description="devices of each machine, a process each: the GPUs, or processes on a CPU; "
        '"auto" is every GPU. torchrun decides for itself',
    )
    nodes: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="machines; on each the same command with NODE_RANK, MASTER_ADDR, MASTER_PORT",
    )
    gather_negatives: bool = Field(
        default=True,
        description="several devices: negatives come from the whole batch, as on one device; false "
        "takes them from each device's share of it",
    )
    seed: int = Field(default=0, ge=0, lt=2**32)
    patience: int | None = Field(
        default=None, ge=1, description="stop after this many epochs without a better dev rsum"
    )
    max_minutes: float | None = Field(
        default=None,
        gt=0,
        description="end after this many minutes of training, however many epochs are left",
    )
    checkpoint_minutes: float = Field(
        default=10.0, gt=0, description="write a resumable checkpoint at least this often"
    )


class Settings(Frozen):
    """A whole training run."""

    data: DataSettings = DataSettings()
    features: FeatureSettings = FeatureSettings()
    model: ModelSettings = ModelSettings()
    momentum: MomentumSettings = MomentumSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    training: TrainingSettings = TrainingSettings()

    @model_validator(mode="after")
    def _agree(self) -> Settings:
        text, image = self.model.text, self.model.image
        if image.clip_guided and self.features.guide is None:
            raise ValueError(
                f"model.image.enhancement is {image.enhancement}, but features.guide names no "
                "frozen image encoder; give one, like efficientnet-lite2"
            )
        fixed = image.self_guided and image.guide_norm_regions is not None
        if fixed and image.region_dropout > 0:
            raise ValueError(
                "model.image.guide_norm_regions fixes the number of regions; "
                "set model.image.region_dropout to 0, or leave the former out"
            )
        if text.encoder == "bigru" and text.trainable_layers not in (0, "all"):
            raise ValueError(
                "model.text.trainable_layers is a number of transformer layers; "
                "with model.text.encoder=bigru leave it out, a BiGRU always trains in full"
            )
        return self

    @property
    def notices(self) -> list[str]:
        """What is allowed, but may not be meant: a sentence each."""
        late = [e for e in self.optimizer.decay_epochs if e >= self.training.epochs]
        if self.optimizer.schedule != "step" or not late:
            return []
        epochs = self.training.epochs
        return [
            f"the run ends after {epochs} {'epoch' if epochs == 1 else 'epochs'}, so its rate does "
            f"not drop after epoch {' and '.join(map(str, late))} (optimizer.decay_epochs)."
        ]
