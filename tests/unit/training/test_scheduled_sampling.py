"""Scheduled sampling: what is mixed in, how often, and what is never touched."""

import pytest
import torch
from fitting import events_of
from tiny import BAHDANAU, CONDITIONAL, LUONG, PLAIN, REAL_IDS, Kind, padded, tiny_model

from seq2seq.batch import BOS, EOS, PAD, UNK, Batch
from seq2seq.config import TrainingConfig
from seq2seq.training.loop import seed_update
from seq2seq.training.losses import batch_loss
from seq2seq.training.scheduled_sampling import sample_decoder_input, sampling_generator

FAMILIES = [PLAIN[0], PLAIN[1], LUONG[0], BAHDANAU[0], CONDITIONAL[0]]
PAIRS = [([5, 6], [7, 8, 9]), ([5], [8]), ([4, 9, 10], [6, 5, 4, 4, 10])]


def sampled(model, batch: Batch, probability: float, update: int = 1) -> Batch:
    return sample_decoder_input(model, batch, probability, sampling_generator(1, update))


@pytest.mark.parametrize("kind", FAMILIES, ids=str)
def test_with_probability_1_every_prediction_is_input_and_nothing_else_changes(kind):
    model, batch = tiny_model(kind), padded(PAIRS, longer=1)
    found = sampled(model, batch, 1.0)
    logits = model.logits(model.unroll(batch).readouts)
    logits[..., [PAD, UNK, BOS, EOS]] = -torch.inf
    guesses = logits.argmax(-1)
    for row, (_, target) in enumerate(PAIRS):
        read = [BOS, *guesses[row, : len(target)].tolist()]
        assert found.decoder_input[row, : len(read)].tolist() == read
        rest = batch.decoder_input[row, len(read) :]
        assert torch.equal(found.decoder_input[row, len(read) :], rest)
    assert torch.equal(found.labels, batch.labels)
    assert torch.equal(found.target_ids, batch.target_ids)
    assert torch.equal(found.source.ids, batch.source.ids)


def test_with_probability_0_no_input_changes():
    batch = padded(PAIRS)
    assert torch.equal(sampled(tiny_model(LUONG[0]), batch, 0.0).decoder_input, batch.decoder_input)


def test_predictions_replace_tokens_as_often_as_the_probability_says():
    """60 x 20 chances a rate; three standard deviations are 0.043 at most."""
    generator = torch.Generator().manual_seed(5)
    rows = torch.randint(4, 11, (60, 20), generator=generator).tolist()
    batch, model = padded([([5], row) for row in rows]), tiny_model(LUONG[0])
    everywhere = sampled(model, batch, 1.0).decoder_input
    differs = everywhere != batch.decoder_input  # where a guess can be told from the reference
    for probability in (0.1, 0.5, 0.9):
        read = sampled(model, batch, probability).decoder_input
        assert torch.equal(read[~differs], batch.decoder_input[~differs])
        assert ((read == everywhere) | (read == batch.decoder_input)).all()
        share = (read != batch.decoder_input)[differs].double().mean().item()
        assert share == pytest.approx(probability, abs=0.05)


def test_special_pieces_are_never_input():
    model = tiny_model(Kind("luong"))
    with torch.no_grad():
        model.output.vocabulary.bias[: min(REAL_IDS)] = 1e3
    read = sampled(model, padded(PAIRS), 1.0).decoder_input
    assert set(read[:, 1:].flatten().tolist()) <= {*REAL_IDS, PAD, EOS}
    assert (read[:, 0] == BOS).all()
    assert read[2, 1:].min() >= min(REAL_IDS)  # the one row without padding


def test_the_generator_belongs_to_the_update_and_draws_from_no_other():
    model, batch = tiny_model(LUONG[0], dropout=0.5), padded(PAIRS * 9)
    first, again, other = (sampled(model, batch, 0.5, update).decoder_input for update in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    model.train()
    seed_update(1, 1)
    state = torch.get_rng_state()
    sampled(model, batch, 0.5)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training


def test_the_loss_and_its_gradient_are_those_of_the_sampled_input():
    model, batch = tiny_model(BAHDANAU[0]), padded(PAIRS)
    found = sampled(model, batch, 1.0)
    assert found.to("cpu").decoder_input_ids is not None
    ours, plain = batch_loss(model, found), batch_loss(model, batch)
    assert found.target_tokens == batch.target_tokens
    assert ours.nll.item() != plain.nll.item()
    assert not found.decoder_input.is_floating_point()


def test_the_probability_grows_from_0_with_the_progress_of_training(monkeypatch):
    probabilities = []

    def record(model, batch: Batch, probability: float, generator) -> Batch:
        probabilities.append(probability)
        return batch

    monkeypatch.setattr("seq2seq.training.loop.sample_decoder_input", record)
    events_of(tiny_model(LUONG[0]), TrainingConfig(updates=4, scheduled_sampling=0.8))
    assert probabilities == pytest.approx([0.2, 0.4, 0.6])  # the first update has probability 0
