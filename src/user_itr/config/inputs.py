"""Settings of what goes into a run: captioned images and their features."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from user_itr.config.frozen import MOST, Frozen, ViewNames


class DataSettings(Frozen):
    """Where the captioned images are."""

    path: Path | None = Field(default=None, description="folder or JSON file of the captioned set")
    format: str = Field(default="auto", description="reader's name, or auto")
    images: Path | None = Field(
        default=None, description="image folder, where it is not beside the captions"
    )
    train_split: str = "train"
    dev_split: str = "dev"
    dev_captions: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000_000,
        description="evaluate only the first captions of the dev split, and their images; the "
        "published code takes 5,000",
    )


class FeatureSettings(Frozen):
    """Region features, and how they are made compact before the model sees them."""

    backbone: str = Field(
        default="efficientnet-lite0", description="name in the registry of backbones"
    )
    store: Path | None = Field(
        default=None, description="feature store; by default one in the cache folder"
    )
    grid: int | None = Field(
        default=None,
        ge=1,
        le=MOST,
        description="average-pool the square grid of regions to grid x grid",
    )
    width: int | None = Field(
        default=None,
        ge=1,
        le=MOST,
        description="project regions to this width by PCA, fitted on the train split",
    )
    whitening: float = Field(
        default=0.0, ge=0, le=1, description="exponent of whitening: 0 plain PCA, 1 equal variances"
    )

    mirror: bool = Field(
        default=False, description="train on mirror images too; they get a store of their own"
    )
    crop: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="in training, pool a random window that keeps this share of the grid's sides",
    )
    views: ViewNames = Field(
        default=("whole",),
        description="views of an image whose vectors are averaged at evaluation, in an index and "
        "in an export: whole, then mirror, centre-NN (NN % of its sides) or mirror-centre-NN",
    )
    guide: str | None = Field(
        default=None,
        description="frozen image encoder whose global embedding guides CGE: "
        "transformers:PATH_OR_NAME, open_clip:NAME, or a backbone's pooled vector",
    )
    guide_width: int | None = Field(
        default=None,
        ge=1,
        le=MOST,
        description="project guide embeddings to this width by PCA, fitted on the train split",
    )

    @model_validator(mode="after")
    def _window_of_a_grid(self) -> FeatureSettings:
        if self.crop < 1 and self.grid is None:
            raise ValueError("features.crop needs features.grid; give both, or leave out crop")
        return self

    @property
    def augmented(self) -> bool:
        """Whether training sees other views than the stored one."""
        return self.mirror or self.crop < 1

    @property
    def compact(self) -> bool:
        """Whether regions are to be made compact."""
        return self.grid is not None or self.width is not None
