"""What is told while training: the time left."""

import pytest

from cli.runs.progress import RECENT_UPDATES, TimeEstimate, clock_time, describe_scores
from seq2seq.config import TrainingConfig
from seq2seq.training.events import TrainingState, ValidationScores


def paced(config: TrainingConfig, *seconds: float, resumed: TrainingState | None = None):
    """A pace after updates that took so many seconds each, and where the run stands."""
    state = resumed or TrainingState()
    pace = TimeEstimate(config)
    pace.start(state)
    for each in seconds:
        state = TrainingState(
            update=state.update + 1, seconds=state.seconds + each, validated=state.validated
        )
        pace.update(state)
    return pace, state


def test_updates_left_take_what_recent_ones_took():
    config = TrainingConfig(updates=1000, validate_every=10_000)
    pace, state = paced(config, *[5.0] * 300, *[1.0] * RECENT_UPDATES)
    assert pace.seconds_left(state) == pytest.approx((1000 - 300 - RECENT_UPDATES) * 1.0)


def test_validations_to_come_are_counted():
    config = TrainingConfig(updates=100, validate_every=10)
    pace, state = paced(config, *[1.0] * 10)
    assert pace.seconds_left(state) == pytest.approx(90)  # how long one takes is not known yet
    state = TrainingState(update=10, seconds=state.seconds + 7, validated=10)
    pace.validation(state)
    assert pace.seconds_left(state) == pytest.approx(90 + 9 * 7)


def test_a_validation_at_an_odd_end_is_counted():
    config = TrainingConfig(updates=25, validate_every=10)
    pace, state = paced(config, *[1.0] * 10)
    state = TrainingState(update=10, seconds=12, validated=10)
    pace.validation(state)
    assert pace.seconds_left(state) == pytest.approx(15 + 2 * 2)  # after 20 and after 25


def test_minutes_are_the_minutes_left():
    config = TrainingConfig(updates=100_000, minutes=2.0)
    pace, state = paced(config, *[1.0] * 30)
    assert pace.seconds_left(state) == pytest.approx(90)
    config = TrainingConfig(updates=40, minutes=2.0)
    pace, state = paced(config, *[1.0] * 30)
    assert pace.seconds_left(state) == pytest.approx(10)  # the updates end it first


def test_the_time_before_an_interruption_is_no_update():
    resumed = TrainingState(update=50, seconds=9000.0, validated=50)
    pace, state = paced(TrainingConfig(updates=100), 2.0, 2.0, resumed=resumed)
    assert pace.seconds_left(state) == pytest.approx(48 * 2)
    assert TimeEstimate(TrainingConfig()).left(resumed) == "unknown"


def test_clock_times_are_read_at_a_glance():
    assert [clock_time(s) for s in (0, 59.6, 3599, 3600, 36_061)] == [
        *("0:00", "1:00", "59:59", "1:00:00", "10:01:01")
    ]


def test_a_hopeless_perplexity_stays_short():
    assert describe_scores(ValidationScores(95.9)) == "perplexity 4.5e+41"
    assert describe_scores(ValidationScores(1.0, 2.0, 3.0)) == "perplexity 2.72, BLEU 2.0, chrF 3.0"
