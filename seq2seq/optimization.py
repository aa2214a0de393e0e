"""The optimizer and its learning rate."""

import torch
from torch import nn

from seq2seq.config import TrainingConfig


def build_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Adam:
    """Adam (Kingma & Ba, 2015) in one fused pass over all parameters."""
    return torch.optim.Adam(
        model.parameters(),
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        fused=True,
    )


def learning_rate(config: TrainingConfig, *, update: int, progress: float) -> float:
    """The rate of an update (from 1); progress is the share of the run that lies behind it."""
    if update <= config.warmup:
        return config.learning_rate * update / config.warmup
    if config.decay == "linear":
        return config.learning_rate * max(0.0, 1.0 - progress)
    if config.decay == "inverse_sqrt":
        return float(config.learning_rate * (max(config.warmup, 1) / update) ** 0.5)
    return config.learning_rate
