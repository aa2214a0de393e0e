"""Laws of sharing out a batch among ranks: nothing depends on which rank has a row."""

import random
from typing import Any

import pytest
import torch
from combinations import model_configs
from examples import examples
from fitting import mirrored
from hypothesis import given
from hypothesis import strategies as st
from tiny import ORDER_AND_SCORE, PLAIN, model_of, padded
from torch import Tensor

from seq2seq.batch import Batch
from seq2seq.config import ModelConfig, TrainingConfig
from seq2seq.model import EncoderDecoder
from seq2seq.training.accumulation import eager_forward_backward
from seq2seq.training.loop import seed_update
from seq2seq.training.scheduled_sampling import sample_decoder_input, sampling_generator

anything = st.data()
NOISE = {
    "embedding_dropout": 0.3,
    "word_dropout": 0.2,
    "dropout": 0.3,
    "recurrent_dropout": 0.2,
}
ATTENDING = {"attention_dropout": 0.2, "context_dropout": 0.2}
TRAINING = TrainingConfig(label_smoothing=0.1, scheduled_sampling=0.5)


def gradients(model: EncoderDecoder, batch: Batch, tokens: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Likelihood and objective, and the gradient of every parameter that has one."""
    model.train()
    model.zero_grad()
    sampled = sample_decoder_input(model, batch, 0.5, sampling_generator(1, 7))
    seed_update(1, 7)
    losses = eager_forward_backward(model, TRAINING)(sampled, tokens)
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return losses, found


@pytest.mark.parametrize("kind", [PLAIN[0], *ORDER_AND_SCORE[2::5]], ids=str)
@examples(2)
@given(data=anything)
def test_losses_and_gradients_of_shares_add_up_to_those_of_the_batch(kind: Any, data: Any) -> None:
    noise = NOISE if kind.attention == "none" else NOISE | ATTENDING
    config: ModelConfig = data.draw(model_configs(kind, **noise))
    model = model_of(config)
    rows, size = data.draw(st.tuples(st.integers(1, 7), st.integers(2, 4)))
    batch = padded(mirrored(rows, random.Random(rows)))
    losses, whole = gradients(model, batch, batch.target_tokens)
    shares = [batch.shared(rank, size) for rank in range(size)]
    assert sum(share.target_tokens for share in shares) == batch.target_tokens
    parts = [gradients(model, share, batch.target_tokens) for share in shares]
    torch.testing.assert_close(sum(part for part, _ in parts), losses, rtol=1e-9, atol=1e-9)
    for name, gradient in whole.items():
        total = sum(part[name] for _, part in parts)
        torch.testing.assert_close(total, gradient, rtol=1e-7, atol=1e-9, msg=name)
