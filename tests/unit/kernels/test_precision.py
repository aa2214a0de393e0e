"""Products in bfloat16: every kind of model trains, and close to what float32 gives."""

import pytest
import torch
from tiny import BAHDANAU, CELLS, CONDITIONAL, EVERY_KIND, LUONG, PLAIN, padded, tiny_config

from seq2seq.batch import FIRST_BATCH
from seq2seq.building import build_model
from seq2seq.config import TrainingConfig
from seq2seq.kernels.precision import autocast_to, compute_dtype, has_bfloat16_products
from seq2seq.model import EncoderDecoder
from seq2seq.training.events import TrainingState, Update, ValidationScores
from seq2seq.training.loop import fit
from seq2seq.training.losses import batch_loss
from seq2seq.training.optimization import build_optimizer

ONE_OF_EACH_ORDER = [*PLAIN, LUONG[4], BAHDANAU[4], CONDITIONAL[3]]
PAIRS = [([5, 6, 7], [8, 9, 4, 4]), ([10], [5])]


def model_of(kind, **changes) -> EncoderDecoder:
    torch.manual_seed(0)
    return build_model(
        tiny_config(kind, **changes), source_vocabulary=11, target_vocabulary=11, joint=False
    )


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        *((kind, "lstm") for kind in EVERY_KIND),
        *((kind, cell) for kind in ONE_OF_EACH_ORDER for cell in CELLS if cell != "lstm"),
    ],
    ids=str,
)
def test_gradients_through_bfloat16_products_are_float32_and_close(kind, cell):
    model = model_of(kind, cell=cell, decoder_size=64, encoder_size=32, attention_size=32)
    exact = batch_loss(model, padded(PAIRS), smoothing=0.1)
    exact.objective.backward()
    expected = torch.cat([each.grad.flatten() for each in model.parameters()])
    model.zero_grad()
    with autocast_to(torch.bfloat16, "cpu"):
        loss = batch_loss(model, padded(PAIRS), smoothing=0.1)
    loss.objective.backward()
    assert loss.nll.dtype == torch.float32
    assert loss.nll.item() != exact.nll.item()  # else bfloat16 was never used
    assert loss.nll.item() == pytest.approx(exact.nll.item(), rel=2e-3)
    found = torch.cat([each.grad.flatten() for each in model.parameters()])
    assert found.dtype == torch.float32
    # bfloat16 has 8 bits: a product is off by up to 0.4 %, and a few follow one another; layer
    # normalisation of small numbers makes more of it
    off = 0.2 if cell == "lstm_layer_norm" else 0.03
    assert (found - expected).norm() < off * expected.norm()


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_training_runs_in_the_precision_of_its_setting(precision):
    losses = list(two_losses(precision))
    plain = list(two_losses("float32"))
    in_bfloat16 = compute_dtype(precision, "cpu") == torch.bfloat16
    assert (losses != plain) == in_bfloat16
    assert losses == pytest.approx(plain, rel=5e-3)


def two_losses(precision: str):
    model = model_of(EVERY_KIND[3])
    config = TrainingConfig(updates=2, precision=precision, validate_every=10)
    batches = iter([padded(PAIRS)] * 3)
    events = fit(
        model,
        build_optimizer(model, config),
        batches,
        lambda: ValidationScores(1.0),
        config,
        state=TrainingState(position=FIRST_BATCH),
    )
    return [event.nats_per_token for event in events if isinstance(event, Update)]


def test_auto_is_bfloat16_only_where_the_processor_multiplies_it(monkeypatch):
    for capability, expected in [
        ("avx512_bf16", torch.bfloat16),
        ("amx_bf16", torch.bfloat16),
        ("avx2", torch.float32),
    ]:
        has_bfloat16_products.cache_clear()
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda name=capability: {name: True})
        assert compute_dtype("auto", "cpu") == expected
    has_bfloat16_products.cache_clear()
