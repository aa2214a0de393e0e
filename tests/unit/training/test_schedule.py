"""When validation is due, and how much of a run it costs."""

import pytest

from seq2seq.config import TrainingConfig
from seq2seq.training.events import TrainingState
from seq2seq.training.schedule import (
    FEWEST,
    SHARE,
    VALIDATIONS,
    validation_due,
    with_validation_planned,
)


def planned(sentences: int, length: int, beam: int = 5, **training: object) -> TrainingConfig:
    config = TrainingConfig(**training)
    tokens = sentences * length
    return with_validation_planned(config, sentences=sentences, tokens=tokens, beam=beam)


def cost(config: TrainingConfig, sentences: int, length: int) -> float:
    """Tokens of training that a validation is worth; with a beam of 5 translating one is 2.55."""
    scored = min(config.perplexity_sentences or sentences, sentences)
    translation = 0.3 + 0.45 * config.validation_beam
    return length * (0.55 * scored + translation * config.validation_sentences)


@pytest.mark.parametrize("sentences", [100, 300, 1000, 5000])
@pytest.mark.parametrize("length", [8, 15, 30])
@pytest.mark.parametrize("updates", [2000, 12_000, 100_000])
def test_validation_costs_its_share_of_a_run_limited_by_updates(sentences, length, updates):
    config = planned(sentences, length, updates=updates, batch_tokens=750)
    times = updates / config.validate_every
    assert FEWEST <= round(times) <= VALIDATIONS
    assert config.validation_sentences <= min(sentences, 500)
    training = 0.8 * updates * 750
    at_least = FEWEST * (0.55 + 0.75) * (3000 + length)  # too short a run pays for this much
    assert times * cost(config, sentences, length) <= max(1.05 * SHARE * training, at_least)


def test_a_long_run_translates_500_sentences_with_the_whole_beam_and_scores_all():
    config = planned(1014, 15, updates=24_000, batch_tokens=750)
    assert (config.validate_every, config.validation_sentences) == (1200, 500)
    assert (config.validation_beam, config.perplexity_sentences) == (5, None)


def test_perplexity_and_translations_share_the_cost_of_a_validation():
    config = planned(1014, 15, updates=6000, batch_tokens=750)
    each = SHARE * 0.8 * 6000 * 750 / VALIDATIONS  # tokens of training
    assert config.perplexity_sentences == int(each / 4 / (0.55 * 15))
    assert config.validation_sentences == 200  # 3,000 tokens; each could pay for 176
    longer = planned(1014, 15, updates=9000, batch_tokens=750)
    assert config.validation_beam == longer.validation_beam == 5
    assert longer.validation_sentences == pytest.approx(1.5 * each * 3 / 4 / (2.55 * 15), abs=1)
    by_perplexity = planned(1014, 15, updates=6000, batch_tokens=750, metric="perplexity")
    assert by_perplexity.perplexity_sentences == int(each / 2 / (0.55 * 15))


def test_a_short_run_translates_fewer_and_scores_no_more_than_it_can_pay():
    config = planned(5000, 15, updates=2000, batch_tokens=750)
    assert config.validation_sentences == 200  # 3,000 tokens
    assert config.validation_beam == 3  # at an eighth of the cost, 7,500 tokens of training
    assert 200 <= config.perplexity_sentences < 1000


def test_a_very_short_run_translates_greedily():
    assert planned(200, 15, updates=10**6, minutes=2.0).validation_beam == 1


def test_the_beam_is_at_most_that_of_the_search():
    assert planned(1014, 15, beam=2, updates=100_000).validation_beam == 2
    assert planned(1014, 15, beam=2, updates=100_000, validation_beam=9).validation_beam == 9


def test_what_was_asked_for_is_kept():
    config = planned(
        5000, 15, updates=100, validate_every=7, validation_sentences=900, perplexity_sentences=2000
    )
    assert config.validate_every == 7
    assert (config.validation_sentences, config.perplexity_sentences) == (900, 2000)
    assert planned(5000, 15, metric="perplexity", validation_sentences=0).validation_sentences == 0


def test_minutes_bound_the_sentences_and_leave_the_interval_open():
    short = planned(1000, 15, updates=10**6, minutes=5.0)
    long = planned(1000, 15, updates=10**6, minutes=500.0)
    assert short.validate_every is long.validate_every is None
    assert short.validation_sentences < long.validation_sentences == 500


def test_a_given_interval_shares_the_cost_of_the_updates_that_the_minutes_allow():
    given = {"batch_tokens": 750, "validate_every": 500}
    by_minutes = planned(1014, 14, updates=10**6, minutes=60.0, **given)  # 12,000 updates
    by_updates = planned(1014, 14, updates=12_000, **given)
    assert by_minutes.validation_sentences == by_updates.validation_sentences == 315
    assert by_minutes.validation_beam == by_updates.validation_beam == 5


def test_an_interval_that_was_asked_for_is_kept_to():
    config = TrainingConfig(validate_every=3, minutes=1.0)
    due = [n for n in range(1, 10) if validation_due(TrainingState(update=n), config)]
    assert due == [3, 6, 9]


def test_an_open_interval_is_a_share_of_the_updates():
    due, state = [], TrainingState()
    for update in range(1, 101):
        state = TrainingState(update=update, seconds=1e9 * update, validated=state.validated)
        if validation_due(state, TrainingConfig(updates=100)):
            due.append(update)
            state = TrainingState(update=update, validated=update)
    assert due == list(range(5, 101, 5))


@pytest.mark.parametrize(
    ("took", "wait"),
    [
        (0.0, 60 / VALIDATIONS),
        (0.1, 60 / VALIDATIONS),
        (0.2, 0.2 / SHARE),
        (60.0, 60 / FEWEST),
    ],
)
def test_the_clock_waits_for_as_long_as_the_last_validation_must_be_paid_off(took, wait):
    config = TrainingConfig(updates=10**9, minutes=1.0)
    for passed, due in ((0.99 * wait, False), (1.01 * wait, True)):
        state = TrainingState(
            update=500, validated=100, seconds=10 + passed, validated_at=10, validation_seconds=took
        )
        assert validation_due(state, config) is due


def test_a_run_whose_updates_end_before_its_minutes_is_validated_as_often():
    config = TrainingConfig(updates=200, minutes=1000.0)
    assert not validation_due(TrainingState(update=9, seconds=1.0), config)
    assert validation_due(TrainingState(update=10, seconds=1.0), config)
