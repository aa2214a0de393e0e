"""The training loop alone: what it learns, what it reports, and when it ends."""

import itertools
import math
import random
from dataclasses import replace

import pytest
import torch
from fitting import endless, events_of, kinds, mirrored
from searching import translate
from tiny import VOCABULARY, Kind, padded, tiny_config, tiny_model

from seq2seq.batch import BatchPosition
from seq2seq.building import build_model
from seq2seq.config import SearchConfig, TrainingConfig
from seq2seq.errors import ConfigError, DivergenceError
from seq2seq.training.events import TrainingState, Update, Validation, ValidationScores
from seq2seq.training.loop import fit, seed_update, stop_reason
from seq2seq.training.losses import batch_loss, corpus_nats_per_token
from seq2seq.training.optimization import build_optimizer

LUONG, BAHDANAU = Kind("luong"), Kind("bahdanau", "additive")
CONDITIONAL = Kind("conditional", "concat")


# What is learnt


@pytest.mark.parametrize("kind", [LUONG, BAHDANAU, CONDITIONAL], ids=str)
def test_attention_learns_to_reverse_a_sentence(kind):
    torch.manual_seed(1)
    sizes = {"embedding_size": 24, "encoder_size": 24, "decoder_size": 48, "attention_size": 24}
    model = build_model(
        tiny_config(kind, cell="gru", readout_size=24, tie_embeddings="all", **sizes),
        source_vocabulary=VOCABULARY,
        target_vocabulary=VOCABULARY,
        joint=True,
    )
    config = TrainingConfig(updates=120, learning_rate=1e-2, warmup=20, validate_every=10_000)
    events_of(model, config, batches=endless(sentences=48))
    held_out = mirrored(100, random.Random(99))
    found = translate(model, [source for source, _ in held_out], SearchConfig(beam=2))
    pairs = zip(found, held_out, strict=True)
    exact = sum(best.ids[:-1] == tuple(target) for (best,), (_, target) in pairs)
    assert exact > 90  # of 100


def test_the_loss_falls():
    events = events_of(tiny_model(LUONG), TrainingConfig(updates=60, warmup=5))
    updates = [e for e in events if type(e) is Update]
    first, last = updates[:10], updates[-10:]
    assert sum(e.nats_per_token for e in last) < sum(e.nats_per_token for e in first)


# What the loop reports


def test_updates_validations_and_the_end_come_in_order():
    config = TrainingConfig(updates=7, validate_every=3, patience=0)
    events = events_of(tiny_model(LUONG), config)
    assert kinds(events) == "uuuvuuuvuvf"
    assert [e.state.update for e in events] == [1, 2, 3, 3, 4, 5, 6, 6, 7, 7, 7]
    assert [e.state.position.batch for e in events if type(e) is Update] == list(range(1, 8))
    assert events[-1].reason == "all 7 updates are done"
    assert events[-2].state == events[-1].state


def test_no_updates_leave_the_weights_alone():
    model = tiny_model(LUONG)
    before = [p.clone() for p in model.parameters()]
    (end,) = events_of(model, TrainingConfig(updates=0))
    assert end.state == TrainingState()
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


def test_patience_counts_validations_without_a_better_one():
    nats = iter([3.0, 2.0, 2.0, 2.5, 1.0, 9.0, 9.0, 9.0])
    config = TrainingConfig(updates=100, validate_every=2, patience=3, metric="perplexity")
    events = events_of(tiny_model(LUONG), config, nats=lambda: next(nats))
    assert kinds(events) == "uuv" * 8 + "f"
    assert [e.improved for e in events if type(e) is Validation] == [
        *(True, True, False, False, True, False, False, False)
    ]
    end = events[-1]
    assert end.reason == "no better perplexity in 3 validations"
    assert (end.state.best_update, end.state.best_nats, end.state.stale) == (10, 1.0, 3)


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_the_metric_decides(metric):
    nats = [1.0, 2.0, 3.0, 2.5, 1.0, 1.0]
    scores = [0.0, 5.0, 5.0, 5.0, 4.0, 6.0]
    results = iter([ValidationScores(n, **{metric: s}) for n, s in zip(nats, scores, strict=True)])
    config = TrainingConfig(updates=6, validate_every=1, metric=metric, patience=0)
    model = tiny_model(LUONG)
    events = fit(
        model,
        build_optimizer(model, config),
        endless(),
        lambda: next(results),
        config,
        state=TrainingState(),
    )
    validations = [e for e in events if type(e) is Validation]
    assert [e.improved for e in validations] == [True, True, False, False, False, True]
    end = validations[-1].state
    assert (end.best_update, end.best_nats, end.best_score) == (6, 1.0, 6.0)
    config = config.model_copy(update={"patience": 2})
    state = validations[4].state
    (over,) = fit(model, build_optimizer(model, config), endless(), dict, config, state=state)
    assert over.reason == f"no better {'BLEU' if metric == 'bleu' else 'chrF'} in 3 validations"


def test_what_was_measured_is_of_the_weights_as_they_are():
    events = events_of(tiny_model(LUONG), TrainingConfig(updates=4, validate_every=2))
    assert [e.state.measured is not None for e in events] == [
        *(False, False, True, False, False, True, True)
    ]


def test_a_validation_that_is_no_number_ends_the_run():
    config = TrainingConfig(updates=2, validate_every=1)
    with pytest.raises(DivergenceError, match="validation loss is nan after update 1"):
        events_of(tiny_model(LUONG), config, nats=lambda: math.nan)


def test_minutes_end_a_run_and_steer_its_rate():
    seconds = itertools.count(step=10.0)  # every look at the clock is ten seconds later
    config = TrainingConfig(
        updates=1000, minutes=1.0, validate_every=500, warmup=0, learning_rate=1.0, clip_norm=1e-6
    )
    events = events_of(tiny_model(LUONG), config, clock=lambda: next(seconds))
    assert kinds(events) == "uuuuuuvf"
    rates = [e.learning_rate for e in events if type(e) is Update]
    assert rates == pytest.approx([1 - n / 6 for n in range(6)])
    assert events[-1].reason == "the 1 minutes are over"


def test_the_seconds_of_a_resumed_run_are_added_to_those_before():
    config = TrainingConfig(updates=1000, minutes=1.0, validate_every=500, patience=0)
    late = TrainingState(seconds=59.0, update=500, validated=500)
    seconds = itertools.count(start=1000.0, step=0.75)
    events = events_of(tiny_model(LUONG), config, clock=lambda: next(seconds), state=late)
    assert kinds(events) == "uuvf"
    assert events[0].state.seconds == pytest.approx(59.75)


def test_the_rate_is_that_of_the_schedule_and_the_gradient_is_clipped():
    config = TrainingConfig(updates=4, warmup=2, learning_rate=0.5, clip_norm=1e-9)
    model = tiny_model(LUONG)
    updates = [e for e in events_of(model, config) if type(e) is Update]
    assert [e.learning_rate for e in updates] == pytest.approx([0.25, 0.5, 0.25, 0.125])
    assert all(e.gradient_norm > 1e-6 for e in updates)  # as it was before clipping
    gradients = [parameter.grad.flatten() for parameter in model.parameters()]
    assert torch.cat(gradients).norm().item() == pytest.approx(1e-9, rel=1e-3)  # of the last update


def test_every_update_has_a_random_stream_of_its_own():
    def drawn(seed: int, update: int) -> list[float]:
        seed_update(seed, update)
        return torch.rand(4).tolist()

    assert drawn(1, 5) == drawn(1, 5)
    streams = [drawn(seed, update) for seed in (1, 2, 12) for update in (1, 2, 21, 23)]
    assert len({tuple(stream) for stream in streams}) == len(streams)


# Validation


def test_validation_draws_no_random_numbers_and_keeps_the_mode():
    model = tiny_model(LUONG, dropout=0.5)
    batches = [padded([([5, 6], [7])]), padded([([5], [7, 8, 9])])]
    before = torch.get_rng_state()
    for training in (True, False):
        model.train(training)
        first, second = corpus_nats_per_token(model, batches), corpus_nats_per_token(model, batches)
        assert first == second
        assert model.training is training
    assert torch.equal(torch.get_rng_state(), before)


def test_corpus_nats_is_the_mean_over_tokens_however_they_are_batched():
    model = tiny_model(BAHDANAU)
    pairs = mirrored(9, random.Random(3))
    with torch.no_grad():
        losses = [batch_loss(model, padded([pair])) for pair in pairs]
    tokens = sum(padded([pair]).target_tokens for pair in pairs)
    mean = sum(loss.nll.item() for loss in losses) / tokens
    for size in (1, 2, 4, 9):
        batches = [padded(pairs[i : i + size]) for i in range(0, 9, size)]
        assert corpus_nats_per_token(model, batches) == pytest.approx(mean, rel=1e-12)


def test_losses_do_not_depend_on_when_validation_happens():
    def losses(validate_every: int) -> list[float]:
        torch.manual_seed(0)
        model = tiny_model(LUONG, dropout=0.3, embedding_dropout=0.2)
        held_out = [padded(mirrored(5, random.Random(8)))]
        config = TrainingConfig(updates=12, validate_every=validate_every, patience=0)
        events = events_of(model, config, nats=lambda: corpus_nats_per_token(model, held_out))
        return [e.nats_per_token for e in events if type(e) is Update]

    assert losses(1) == losses(5) == losses(100)


# Several batches an update


@pytest.mark.parametrize("kind", [LUONG, BAHDANAU], ids=str)
def test_accumulated_batches_are_one_big_batch(kind):
    rng = random.Random(4)
    pairs = [mirrored(3 + 2 * number, rng) for number in range(6)]  # unequal, and padded unequally
    small = [
        replace(padded(p, longer=n), position=BatchPosition(1, n)) for n, p in enumerate(pairs)
    ]
    big = [padded([pair for each in pairs[n : n + 3] for pair in each]) for n in (0, 3)]
    models = tiny_model(kind), tiny_model(kind)
    options = {"updates": 2, "validate_every": 9, "warmup": 0}
    ours = events_of(models[0], TrainingConfig(accumulate=3, **options), batches=iter(small))
    theirs = events_of(models[1], TrainingConfig(**options), batches=iter(big))
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        assert mine.tokens == other.tokens
        assert mine.nats_per_token == pytest.approx(other.nats_per_token, rel=1e-12)
        assert mine.gradient_norm == pytest.approx(other.gradient_norm, rel=1e-10)
    for mine, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-8, atol=1e-10)
    assert [e.batch.batch for e in ours[:2]] == [0, 3]
    assert ours[1].state.position == (1, 6)
    assert ours[1].state.tokens == sum(e.tokens for e in ours[:2])


# Plateaus


def plateau_events(model, nats, restore=lambda: None, **settings):
    options = {"updates": 100, "validate_every": 1, "metric": "perplexity", "warmup": 0}
    config = TrainingConfig(learning_rate=0.8, decay="plateau", **options, **settings)
    return events_of(model, config, nats=lambda: next(nats), restore_best=restore)


def test_the_rate_falls_on_plateaus_and_the_last_one_ends_training():
    nats = iter([3.0, 2.0, 2.5, 2.5, 1.0, 1.0, 1.0, 4.0, 4.0])
    restored = []
    events = plateau_events(
        tiny_model(LUONG), nats, lambda: restored.append(1), plateau_patience=2, plateau_times=2
    )
    validations = [e for e in events if type(e) is Validation]
    assert [e.reduced for e in validations] == [
        *(False, False, False, True, False, False, True, False, False)
    ]
    rates = [e.learning_rate for e in events if type(e) is Update]
    assert rates == pytest.approx([0.8] * 4 + [0.4] * 3 + [0.2] * 2)
    assert len(restored) == 2
    assert events[-1].reason == (
        "no better perplexity in 2 validations, after 2 reductions of the learning rate"
    )
    assert [e.state.measured is None for e in validations] == [e.reduced for e in validations]


def test_without_restart_a_plateau_restores_nothing():
    def refuse() -> None:
        raise AssertionError

    settings = {"plateau_restart": False, "plateau_patience": 1, "plateau_times": 1}
    events = plateau_events(tiny_model(LUONG), iter([1.0, 1.0, 1.0]), refuse, **settings)
    assert kinds(events) == "uvuvuvf"


def test_weights_that_are_the_best_are_not_replaced_on_a_plateau():
    def refuse() -> None:
        raise AssertionError

    config = TrainingConfig(
        updates=2, validate_every=1, warmup=0, decay="plateau", plateau_patience=1
    )
    chrf = iter([50.0, 49.95])  # the second is the latest that is as good, but rises no more
    events = fit(
        (model := tiny_model(LUONG)),
        build_optimizer(model, config),
        endless(),
        lambda: ValidationScores(2.0, bleu=30.0, chrf=next(chrf), sentences=500),
        config,
        state=TrainingState(),
        restore_best=refuse,
    )
    last = [event for event in events if type(event) is Validation][-1]
    assert last.improved and last.state.best_update == 2


def test_a_plateau_ends_training_only_when_no_reduction_is_left():
    config = TrainingConfig(updates=9, decay="plateau", plateau_patience=2, plateau_times=3)
    state = TrainingState(update=5, validated=5, waited=2)
    assert stop_reason(state, config) is None
    assert "after 3 reductions" in stop_reason(replace(state, reductions=3), config)


def test_a_restart_needs_something_to_restore():
    with pytest.raises(ValueError, match="needs `restore_best`"):
        plateau_events(tiny_model(LUONG), iter([]), None)


def test_patience_that_no_plateau_outlives_is_refused():
    with pytest.raises(ConfigError, match="first plateau"):
        TrainingConfig(decay="plateau", patience=2, plateau_patience=2)
    TrainingConfig(decay="plateau", patience=0, plateau_patience=2)
