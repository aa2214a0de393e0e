"""A GPU changes the time and nothing else. Skipped where torch finds none."""

import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from combinations import model_configs
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from searching import translate
from tiny import (
    BAHDANAU,
    CELLS,
    CONDITIONAL,
    EVERY_KIND,
    LUONG,
    REAL_IDS,
    Ids,
    model_of,
    padded,
    tiny_model,
)
from torch import Tensor

from cli.runs.device import choose_device
from seq2seq.batch import EOS
from seq2seq.config import SearchConfig, TrainingConfig
from seq2seq.model import EncoderDecoder
from seq2seq.training.events import TrainingState, Update, ValidationScores
from seq2seq.training.loop import fit
from seq2seq.training.losses import batch_loss
from seq2seq.training.moving_average import MovingAverage
from seq2seq.training.optimization import build_optimizer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")

PAIRS = [([4, 5, 6, 7], [8, 9]), ([10], [4, 5, 6, 7, 8]), ([9, 9, 4], [10])]
SOURCES = [[5, 6, 7], [8], [9, 10, 4, 5, 6, 7], [8], [4, 4]]
ONE_OF_EACH = [LUONG[4], LUONG[5], BAHDANAU[6], CONDITIONAL[6]]


@pytest.fixture(autouse=True, scope="module")
def _as_the_program_sets_it_up() -> None:
    choose_device("cuda")


@contextmanager
def nobody_waits() -> Iterator[None]:
    """Asking for anything that the GPU has yet to make is an error."""
    with warnings.catch_warnings(action="ignore"):  # it says that it does not notice everything
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def gradients(model: EncoderDecoder, device: str, **terms: float) -> dict[str, Tensor]:
    """The loss of a batch and its gradient by every parameter, on the CPU afterwards."""
    model.to(device).train().zero_grad()  # cuDNN has no gradients otherwise
    loss = batch_loss(model, padded(PAIRS).to(device), smoothing=0.1, **terms)
    loss.objective.backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    found["loss"] = loss.objective
    return {name: each.detach().cpu() for name, each in found.items()}


def assert_same_gradients(model: EncoderDecoder, **terms: float) -> None:
    on_cpu, on_gpu = gradients(model, "cpu", **terms), gradients(model, "cuda", **terms)
    assert on_cpu.keys() == on_gpu.keys()
    for name, expected in on_cpu.items():
        torch.testing.assert_close(on_gpu[name], expected, rtol=1e-8, atol=1e-10, msg=name)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", EVERY_KIND, ids=str)
def test_a_gpu_finds_the_same_loss_and_gradients(kind, cell):
    assert_same_gradients(tiny_model(kind, cell=cell, layers=2, seed=1))


@examples(40)
@given(st.data(), st.sampled_from(EVERY_KIND))
def test_a_gpu_finds_the_same_whatever_the_model(data, kind):
    assert_same_gradients(model_of(data.draw(model_configs(kind, zoneout=0.0)), seed=1))


@pytest.mark.parametrize("kind", ONE_OF_EACH, ids=str)
def test_terms_of_the_loss_are_the_same_on_a_gpu(kind):
    assert_same_gradients(tiny_model(kind), coverage=0.5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", ONE_OF_EACH, ids=str)
def test_a_batch_goes_forward_and_backward_without_waiting(kind, cell):
    """With all that draws random numbers, too."""
    noise = {"embedding_dropout": 0.2, "dropout": 0.2, "word_dropout": 0.1, "context_dropout": 0.1}
    model = tiny_model(kind, cell=cell, layers=2, seed=1, dtype=torch.float32, **noise)
    model.to("cuda").train()
    batch_loss(model, padded(PAIRS).to("cuda")).objective.backward()  # libraries get ready
    with nobody_waits(), torch.autocast("cuda", dtype=torch.bfloat16):
        loss = batch_loss(model, padded(PAIRS).to("cuda"), smoothing=0.1)
        loss.objective.backward()


def losses(
    device: str,
    *,
    kind=LUONG[4],
    dropout: float = 0.0,
    output_ids: Ids | None = None,
    **choices: object,
) -> list[float]:
    """Losses of twelve updates from fixed weights, over batches of three shapes."""
    config = TrainingConfig(updates=12, validate_every=12, learning_rate=0.01, **choices)
    noise = {"dropout": dropout, "embedding_dropout": dropout}
    dtype = torch.float32 if dropout else torch.float64
    model = tiny_model(kind, dtype=dtype, output_ids=output_ids, **noise).to(device)
    lines = [PAIRS, PAIRS * 3, [([4] * 9, [5] * 12)]]
    events = fit(
        model,
        build_optimizer(model, config),
        itertools.cycle([padded(each) for each in lines]),
        lambda: ValidationScores(1.0),
        config,
        state=TrainingState(),
        average=MovingAverage(model, decay=0.9),
        device=device,
    )
    return [event.objective_per_token for event in events if isinstance(event, Update)]


@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("terms", [{}, {"accumulate": 2}, {"coverage_loss": 0.5}])
@pytest.mark.parametrize("kind", ONE_OF_EACH, ids=str)
def test_training_has_the_same_losses(kind, terms, graphs):
    choices = {"kind": kind, "precision": "float32", **terms}
    on_gpu = losses("cuda", cuda_graphs=graphs, **choices)
    assert on_gpu == pytest.approx(losses("cpu", **choices), rel=1e-8)
    assert min(on_gpu[9:]) < max(on_gpu[:3])


@pytest.mark.parametrize("kind", ONE_OF_EACH, ids=str)
def test_a_recording_changes_no_bit(kind, monkeypatch):
    recorded = losses("cuda", kind=kind, dropout=0.3)
    monkeypatch.setattr("seq2seq.training.cuda_graphs.MAX_GRAPHS", 0)
    assert losses("cuda", kind=kind, dropout=0.3) == recorded


@pytest.mark.parametrize("graphs", [True, False])
def test_training_with_some_output_ids_has_the_same_losses(graphs):
    choices = {"output_ids": [EOS, *REAL_IDS], "precision": "float32"}
    on_gpu = losses("cuda", cuda_graphs=graphs, **choices)
    assert on_gpu == pytest.approx(losses("cpu", **choices), rel=1e-8)
    assert on_gpu != pytest.approx(losses("cpu", precision="float32"), rel=1e-8)


def test_the_decoder_reads_its_own_words_on_a_gpu():
    assert len(losses("cuda", scheduled_sampling=0.5)) == 12


@pytest.mark.parametrize("output_ids", [None, [EOS, 5, 7, 10]])
@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("kind", EVERY_KIND, ids=str)
def test_a_gpu_translates_the_same(kind, beam, output_ids):
    model = tiny_model(kind, layers=2, output_ids=output_ids)
    config = SearchConfig(beam=beam)
    on_cpu = translate(model, SOURCES, config)
    on_gpu = translate(model.to("cuda"), SOURCES, config, device="cuda")
    for expected, found in zip(on_cpu, on_gpu, strict=True):
        assert [each.ids for each in found] == [each.ids for each in expected]
        assert [each.score for each in found] == pytest.approx([each.score for each in expected])


def test_float32_is_not_rounded_further():
    """By default recurrent layers round their inputs to ten bits, 1e-3."""
    layer = torch.nn.LSTM(64, 64, batch_first=True).cuda()
    inputs = torch.randn(8, 20, 64, device="cuda")
    precise = torch.nn.LSTM(64, 64, batch_first=True).cuda().double()
    precise.load_state_dict({name: p.double() for name, p in layer.state_dict().items()})
    torch.testing.assert_close(
        layer(inputs)[0].double(), precise(inputs.double())[0], rtol=0, atol=5e-5
    )
