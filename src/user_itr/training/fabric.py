"""Lightning Fabric set up for a run: devices, precision and loggers."""

from __future__ import annotations

import inspect
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers.csv_logs import CSVLogger
from lightning.fabric.loggers.logger import Logger
from lightning.fabric.loggers.tensorboard import TensorBoardLogger
from lightning.fabric.plugins.precision.amp import MixedPrecision
from lightning.fabric.strategies.ddp import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from user_itr.config.settings import TrainingSettings
from user_itr.errors import ConfigError
from user_itr.training.launching import is_rank, world

TIMEOUT = timedelta(minutes=30)
"""How long a step waits for a rank that is connected but does not answer."""

_NAMES = inspect.signature(DistributedDataParallel).parameters
_BUFFERS = "forward_sync_buffers" if "forward_sync_buffers" in _NAMES else "broadcast_buffers"


def create_fabric(
    training: TrainingSettings, loggers: list[Logger], find_unused: bool = False
) -> Fabric:
    """Set up this process' device and precision, and the connection to other ranks.

    Fabric alone would turn float16 into bfloat16 on the CPU; torch has float16 autocast and a
    gradient scaler there too, so "16-mixed" means the same on every device.

    Args:
        training: settings. In a rank the number of processes is the launcher's.
        loggers: used on rank 0.
        find_unused: whether the loss may not depend on some parameters.

    Raises:
        ConfigError: if the accelerator is unknown or missing, or several devices are asked for
            outside of a rank.
    """
    if not is_rank() and training.devices not in (1, "auto"):
        raise ConfigError(
            f"training.devices = {training.devices}: every device needs a process of its own; "
            "start them with `user-itr train` or torchrun."
        )

    def fabric(*plugins: MixedPrecision) -> Fabric:
        devices, nodes = world()
        options: dict[str, Any] = {"accelerator": training.accelerator, "devices": devices}
        if devices * nodes > 1:
            ddp: dict[str, Any] = {
                "find_unused_parameters": find_unused,
                _BUFFERS: False,  # every rank computes the same ones
            }
            strategy = DDPStrategy(timeout=TIMEOUT, **ddp)
            options |= {"num_nodes": nodes, "strategy": strategy}
        return Fabric(**options, plugins=list(plugins), loggers=loggers)

    if is_rank():
        for logger in ("lightning.fabric", "lightning.pytorch"):
            logging.getLogger(logger).setLevel(logging.WARNING)
    try:
        plain = fabric()
        device = plain.device.type
        name = training.precision
        if name == "auto":
            name = fast_precision(device)
        return plain if name == "32-true" else fabric(MixedPrecision(name, device))
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
