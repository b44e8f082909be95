"""Lightning Fabric set up for a run: device, precision and loggers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers.csv_logs import CSVLogger
from lightning.fabric.loggers.logger import Logger
from lightning.fabric.loggers.tensorboard import TensorBoardLogger
from lightning.fabric.plugins.precision.amp import MixedPrecision

from user_itr.config.settings import TrainingSettings
from user_itr.errors import ConfigError


def create_fabric(training: TrainingSettings, loggers: list[Logger]) -> Fabric:
    """One device in the precision of the settings.

    Fabric alone would turn float16 into bfloat16 on the CPU; torch has float16 autocast and a
    gradient scaler there too, so "16-mixed" means the same on every device.

    Raises:
        ConfigError: if the accelerator is unknown or not there.
    """
    try:
        plain = Fabric(accelerator=training.accelerator, devices=1, loggers=loggers)
        device = plain.device.type
        name = training.precision
        if name == "auto":
            name = fast_precision(device)
        if name == "32-true":
            return plain
        precision = MixedPrecision(name, device)
        return Fabric(
            accelerator=training.accelerator, devices=1, plugins=[precision], loggers=loggers
        )
    except (ValueError, RuntimeError, ImportError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(
            f"training.accelerator = {training.accelerator!r}: cannot be used ({reason}); "
            'give "cpu", or leave it out to take the best there is.'
        ) from error


def fast_precision(device: str) -> Literal["bf16-mixed", "32-true"]:
    """bf16-mixed where the device multiplies bfloat16 itself, else 32-true.

    A processor without AVX-512 emulates bfloat16 in torch, many times slower than float32.

    Args:
        device: type of a torch device.
    """
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device == "cpu":
        available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        native = available and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    else:
        native = False
    return "bf16-mixed" if native else "32-true"


def default_loggers(run: Path) -> list[Logger]:
    """TensorBoard and CSV logs below a run's folder, a new version each time it is continued."""
    logs = run / "logs"
    return [
        TensorBoardLogger(logs, name="tensorboard"),
        CSVLogger(logs, name="csv", flush_logs_every_n_steps=50),
    ]
