"""A short choice of published models, each with the reason it is here.

Sizes are of the files that `user-itr models get` fetches; that of `siglip2-b16` follows from its
parameters. The figure is the published zero-shot top-1 accuracy on ImageNet of the full-precision
model, in per cent. Commits were read off stored pages of the hub and of a project that pins one,
without a download: if the hub has none of that name, it says so, and NAME@main fetches the newest.
The commit that was fetched is recorded with the hashes of its files, and holds from then on.
"""

from __future__ import annotations

from dataclasses import dataclass

from user_itr.hub.cache import HubName


@dataclass(frozen=True)
class CataloguedModel:
    """A model of the choice.

    Args:
        name: short, for people.
        suits: what it is here for.
        source: on the hub, at a commit.
        megabytes: to fetch.
        width: D of its embeddings.
        languages: of the words it knows.
        licence: of the weights.
        imagenet: zero-shot top-1 accuracy, per cent.
        figure_from: who published that.
        light: whether it runs without PyTorch from the start; otherwise it is written as ONNX when
            it is first used, which takes the extra `train`.
    """

    name: str
    suits: str
    source: HubName
    megabytes: int
    width: int
    languages: str
    licence: str
    imagenet: float
    figure_from: str
    light: bool = True


CATALOGUE = (
    CataloguedModel(
        "clip-b32-int8",
        "small: old machines, large collections",
        HubName(
            "Xenova/clip-vit-base-patch32",
            "4c1807b705b1d015fb032789cc4d221b23025a6f",
            "onnx/text_model_quantized.onnx",
        ),
        156,
        512,
        "English",
        "MIT",
        63.2,
        "arXiv 2103.00020",
    ),
    CataloguedModel(
        "siglip-b16",
        "good: most people",
        HubName("Xenova/siglip-base-patch16-224", "3ba9ad23187f2b95723d902072ef8d91b0a2d081"),
        816,
        768,
        "English",
        "Apache-2.0",
        76.2,
        "arXiv 2502.14786",
    ),
    CataloguedModel(
        "siglip2-b16",
        "multilingual: other languages than English",
        HubName(
            "onnx-community/siglip2-base-patch16-224-ONNX",
            "ba1f3b0843f24bc5417d38e19c37b287d719b2f4",
        ),
        1540,
        768,
        "many",
        "Apache-2.0",
        78.2,
        "arXiv 2502.14786",
    ),
    CataloguedModel(
        "siglip2-so400m",
        "best: a strong machine, and patience",
        HubName("google/siglip2-so400m-patch14-384", "f3b7a187cd133857ff43c0dccfe88f8268372549"),
        4580,
        1152,
        "many",
        "Apache-2.0",
        84.1,
        "arXiv 2502.14786",
        light=False,
    ),
)


def catalogued(name: str) -> CataloguedModel | None:
    """The model of this short name; None if the choice has no such name."""
    return next((model for model in CATALOGUE if model.name == name), None)
