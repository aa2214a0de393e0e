"""Progress reports: the estimate of the remaining time, and several reporters at once."""

import pytest
from reruns import Silent, interrupt, new_run, train

from cli.runs.interruption import Interrupted
from cli.runs.progress import (
    FORECAST_UPDATES,
    RECENT_UPDATES,
    EpochForecast,
    Reporters,
    TimeEstimate,
    clock_time,
    describe_scores,
)
from cli.runs.training import train_run
from seq2seq.config import TrainingConfig
from seq2seq.training.events import TrainingState, ValidationScores


def estimate_after(config: TrainingConfig, *seconds: float, resumed: TrainingState | None = None):
    """An estimate after updates that took so many seconds each, and the state of the run."""
    state = resumed or TrainingState()
    estimate = TimeEstimate(config)
    estimate.start(state)
    for each in seconds:
        state = TrainingState(
            update=state.update + 1, seconds=state.seconds + each, validated=state.validated
        )
        estimate.update(state)
    return estimate, state


def test_remaining_updates_take_as_long_as_recent_ones():
    config = TrainingConfig(updates=1000, validate_every=10_000)
    estimate, state = estimate_after(config, *[5.0] * 300, *[1.0] * RECENT_UPDATES)
    assert estimate.seconds_left(state) == pytest.approx((1000 - 300 - RECENT_UPDATES) * 1.0)


def test_remaining_validations_are_included_in_the_estimate():
    config = TrainingConfig(updates=100, validate_every=10)
    estimate, state = estimate_after(config, *[1.0] * 10)
    assert estimate.seconds_left(state) == pytest.approx(90)  # how long one takes is not known yet
    state = TrainingState(update=10, seconds=state.seconds + 7, validated=10)
    estimate.validation(state)
    assert estimate.seconds_left(state) == pytest.approx(90 + 9 * 7)


def test_the_validation_after_the_last_update_is_included():
    config = TrainingConfig(updates=25, validate_every=10)
    estimate, state = estimate_after(config, *[1.0] * 10)
    state = TrainingState(update=10, seconds=12, validated=10)
    estimate.validation(state)
    assert estimate.seconds_left(state) == pytest.approx(15 + 2 * 2)  # after 20 and after 25


def test_the_estimate_ends_with_the_minutes():
    config = TrainingConfig(updates=100_000, minutes=2.0)
    estimate, state = estimate_after(config, *[1.0] * 30)
    assert estimate.seconds_left(state) == pytest.approx(90)
    config = TrainingConfig(updates=40, minutes=2.0)
    estimate, state = estimate_after(config, *[1.0] * 30)
    assert estimate.seconds_left(state) == pytest.approx(10)  # the updates end it first


def test_time_before_an_interruption_does_not_count_as_an_update():
    resumed = TrainingState(update=50, seconds=9000.0, validated=50)
    estimate, state = estimate_after(TrainingConfig(updates=100), 2.0, 2.0, resumed=resumed)
    assert estimate.seconds_left(state) == pytest.approx(48 * 2)
    assert TimeEstimate(TrainingConfig()).left(resumed) == "unknown"


def test_times_are_shown_as_on_a_clock():
    assert [clock_time(s) for s in (0, 59.6, 3599, 3600, 36_061)] == [
        *("0:00", "1:00", "59:59", "1:00:00", "10:01:01")
    ]


def test_a_huge_perplexity_is_shown_with_an_exponent():
    assert describe_scores(ValidationScores(95.9)) == "perplexity 4.5e+41"
    assert describe_scores(ValidationScores(1.0, 2.0, 3.0)) == "perplexity 2.72, BLEU 2.0, chrF 3.0"


# Several reporters


def test_every_reporter_is_given_every_event(tmp_path, store):
    reporters = [Silent(), Silent()]
    run = new_run(tmp_path / "run", store, training={"updates": 7})
    train_run(run, store, device="cpu", reporter=Reporters(reporters))
    first, second = reporters
    assert len(first.events) == 7 + 2 + 1 and first.events == second.events
    assert first.messages == second.messages != []
    assert first.began == second.began == TrainingState()
    assert first.model is second.model is not None


def test_a_reporter_of_a_resumed_run_knows_where_it_begins(tmp_path, store):
    run = new_run(tmp_path / "run", store)
    with pytest.raises(Interrupted):
        train(run, store, lambda event: interrupt() if event.state.update == 5 else None)
    _, reporter = train(run, store)
    assert reporter.began.update == 5
    assert reporter.events[0].state.update == reporter.began.update + 1


def test_all_reporters_are_closed_even_where_one_fails():
    closed = []

    class Closing(Silent):
        def close(self) -> None:
            closed.append(self)
            raise OSError("no space")

    reporters = [Closing(), Closing(), Closing()]
    with pytest.raises(OSError, match="no space"):
        Reporters(reporters).close()
    assert closed == reporters


def forecast_after(config: TrainingConfig, updates: int, *, epoch_tokens: int) -> list[str | None]:
    """What a forecast says after each of so many updates of 100 tokens and 2 seconds."""
    forecast = EpochForecast(config, epoch_tokens)
    return [
        forecast.update(TrainingState(update=n, tokens=100 * n, seconds=5 + 2.0 * n))
        for n in range(1, updates + 1)
    ]


def test_minutes_too_few_for_an_epoch_are_noticed_once():
    config = TrainingConfig(updates=100_000, minutes=1.5)
    said = forecast_after(config, FORECAST_UPDATES + 30, epoch_tokens=8500)
    # by hand: 2,000 tokens after 45 seconds, and 50 a second in the remaining 45: 4,250
    assert said[FORECAST_UPDATES - 1] is not None
    assert said[FORECAST_UPDATES - 1].startswith("at this speed 1.5 minutes are 0.5 ep")
    assert [line for line in said if line] == [said[FORECAST_UPDATES - 1]]
    assert not any(forecast_after(config, 50, epoch_tokens=4250))


def test_updates_too_few_for_an_epoch_are_noticed():
    said = forecast_after(TrainingConfig(updates=60), 60, epoch_tokens=7500)
    assert [line for line in said if line] == [said[FORECAST_UPDATES - 1]]
    assert "the updates are 0.8 epochs" in said[FORECAST_UPDATES - 1]
    few = forecast_after(TrainingConfig(updates=3, minutes=9.0), 3, epoch_tokens=400)
    assert few[:2] == [None, None] and "are 0.75 epochs" in few[2]
    assert not any(forecast_after(TrainingConfig(updates=60), 60, epoch_tokens=6000))
