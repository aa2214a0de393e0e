"""The optimizer and its learning rate."""

import math
from typing import Any

import torch
from torch import nn

from seq2seq.config import TrainingConfig


def build_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Adam:
    """Adam (Kingma & Ba, 2015) in one fused pass over all parameters.

    With weight decay it is AdamW (Loshchilov & Hutter, 2019): the decay does not pass through the
    moments, and is applied to matrices only.
    """
    settings: dict[str, Any] = {
        "lr": config.learning_rate,
        "betas": (config.beta1, config.beta2),
        "fused": True,
    }
    if not config.weight_decay:
        return torch.optim.Adam(model.parameters(), **settings)
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], **settings)


def set_learning_rate(
    optimizer: torch.optim.Optimizer,
    config: TrainingConfig,
    update: int,
    progress: float,
    reductions: int,
) -> float:
    """Set the learning rate of an update, see `learning_rate`, and return it."""
    rate = learning_rate(config, update=update, progress=progress, reductions=reductions)
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def learning_rate(
    config: TrainingConfig, *, update: int, progress: float, reductions: int = 0
) -> float:
    """The learning rate of an update, counted from 1.

    progress: p, the share of the run that is done, warm-up included
    reductions: the number of plateaus so far

    During warm-up the rate rises to its peak. Then "linear" is peak (1 - p) and "cosine"
    peak (1 + cos(pi p)) / 2, so where warm-up ends the rate drops to that at once. Where warm-up
    takes more than half of the run, both fall as peak (2 - 2p) from its middle on.
    """
    warm = min(1.0, update / max(config.warmup, 1))
    if config.decay == "plateau":
        return config.learning_rate * warm * config.plateau_factor**reductions
    if update <= config.warmup:
        ends_at_0 = config.decay in ("linear", "cosine")
        return config.learning_rate * min(warm, max(0.0, 2 - 2 * progress) if ends_at_0 else 1.0)
    if config.decay == "linear":
        return config.learning_rate * max(0.0, 1.0 - progress)
    if config.decay == "cosine":
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    if config.decay == "inverse_sqrt":
        return float(config.learning_rate * (max(config.warmup, 1) / update) ** 0.5)
    return config.learning_rate
