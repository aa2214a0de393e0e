"""The report on a training, for invented histories; the commands that it suggests are accepted."""

import math
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from reruns import new_run, train

from cli.runs.config import RunConfig, parse_settings, resolve
from cli.runs.directory import RunDirectory
from cli.runs.history import AverageLine, HistoryLine, UpdateLine, ValidationLine
from cli.runs.summary import (
    MAX_SUGGESTIONS,
    RunSummary,
    find_trend,
    report_lines,
    suggestions,
    write_report,
)
from seq2seq.training.events import ValidationScores

BY_PERPLEXITY = resolve({"training": {"metric": "perplexity"}})
SUMMARY = RunSummary(
    run=Path("runs/a b"),
    store=Path("my store"),
    reason="all 1,000 updates are done",
    updates=1000,
    best_update=1000,
    epoch=7,
    tokens=1_234_567,
    seconds=754.4,
    processor_seconds=1450.0,
    checkpoint_bytes=123_456_789,
    unknown=0.0,
)


def history(validation: list[float], training: list[float] | None = None, **scores: float):
    """A validation every 100 updates, with the training loss of the updates before it."""
    lines: list[HistoryLine] = []
    for number, nats in enumerate(validation, start=1):
        loss = (training or validation)[number - 1]
        lines += [update_line(100 * number - back, loss) for back in (50, 0)]
        lines.append(
            ValidationLine(
                update=100 * number, scores=ValidationScores(nats, **scores), best_update=100
            )
        )
    return lines


def update_line(update: int, loss: float) -> UpdateLine:
    return UpdateLine(
        update=update,
        epoch=1,
        batch=update,
        tokens=1000,
        nats_per_token=loss,
        objective_per_token=loss,
        gradient_norm=1.0,
        learning_rate=1e-3,
    )


FALLING = [5.0, 4.0, 3.5, 3.2, 3.0, 2.9, 2.8, 2.7, 2.6, 2.5]
SETTLED = [5.0, 4.0, 3.5, 3.2, 3.01, 3.0, 2.999, 3.0, 2.999, 3.001]
RISING = [5.0, 4.0, 3.5, 3.2, 3.0, 3.1, 3.2, 3.3, 3.4, 3.5]


@pytest.mark.parametrize(
    ("validation", "training", "trend"),
    [
        (FALLING, None, ("improving", 1000)),
        (SETTLED, None, ("level", 500)),
        (RISING, FALLING, ("overfitting", 500)),
        (RISING, None, ("worse", 500)),
        (FALLING[:3], None, ("short", 0)),
        ([], None, ("short", 0)),
        ([3.0, 3.0, 3.0, 3.0], None, ("level", 100)),
    ],
)
def test_the_trend_follows_from_validation_and_training_loss(validation, training, trend):
    assert find_trend(history(validation, training), "perplexity") == trend


RISING_SCORES = [10.0, 20.0, 24.7, 26.0, 26.5, 26.9, 27.0, 27.1, 27.3, 27.4]


def scored(chrf: list[float], nats: list[float], training: list[float]) -> list[HistoryLine]:
    """`history` with a chrF for each validation."""
    scores = iter(chrf)
    return [
        replace(line, scores=replace(line.scores, bleu=5.0, chrf=next(scores)))
        if isinstance(line, ValidationLine)
        else line
        for line in history(nats, training)
    ]


@pytest.mark.parametrize("metric", ["chrf", "bleu"])
def test_the_trend_is_that_of_the_metric_that_chooses_the_best(metric):
    found = scored(RISING_SCORES, RISING, FALLING)
    assert find_trend(found, "perplexity") == ("overfitting", 500)
    assert find_trend(found, metric) == (("level", 500) if metric == "chrf" else ("level", 100))
    found = scored(RISING_SCORES[::-1], RISING, FALLING)
    assert find_trend(found, "chrf") == ("overfitting", 100)


def test_a_perplexity_that_rises_while_translations_improve_is_no_overfitting():
    report = report_lines(scored(RISING_SCORES, RISING, FALLING), RunConfig(), SUMMARY)
    assert report[:2] == [
        "trend: levelled off: no noticeable gain after update 500",
        "perplexity: rose since update 500, and chrF did not fall: the model is surer of its "
        "mistakes, but its translations are no worse",
    ]
    report = report_lines(scored(RISING_SCORES[::-1], RISING, FALLING), RunConfig(), SUMMARY)
    assert report[0].endswith("the training loss kept falling while chrF fell in validation")
    assert report[1].startswith("ended: ")


def test_every_line_of_a_report():
    scores = {"bleu": 21.234, "chrf": 45.678, "length_ratio": 0.8567, "copied": 0.0613}
    report = report_lines(
        history(RISING, FALLING, **scores), BY_PERPLEXITY, replace(SUMMARY, best_update=500)
    )
    assert report == [
        "trend: overfitting since update 500: the training loss kept falling while perplexity rose "
        "in validation",
        "ended: all 1,000 updates are done",
        "best by perplexity: update 500 of 1,000, with perplexity 20.1, BLEU 21.2, chrF 45.7 "
        "(greedy) on the validation set",
        "translations: 0.86 times as long as the references; 6.1 % of their words are in the "
        "source but not in the reference",
        "unknown: none of the pieces of the validation set",
        "trained on: 1.2 million target tokens, up to epoch 7",
        "time: 12:34, 24:10 of processor time, validations included; 1,600 tokens per second",
        "size: 123 MB per checkpoint",
        "try: more dropout: seq2seq train 'my store' NEW_RUN ... --set model.dropout=0.4",
        "try: average the weights: seq2seq train 'my store' NEW_RUN ... --set training.ema=0.999",
        "try: translations are short, favour longer ones: seq2seq translate 'runs/a b' FILE "
        "--set search.length_penalty=1.5",
    ]


def test_an_average_is_the_result_if_it_is_best():
    events = history(SETTLED)
    average = AverageLine(
        updates=[800, 900, 1000], scores=ValidationScores(math.log(18.174)), better=True
    )
    report = report_lines([*events, average], BY_PERPLEXITY, SUMMARY)
    assert "best by perplexity: the average of 3 checkpoints, with perplexity 18.2" in report[2]
    report = report_lines([*events, replace(average, better=False)], BY_PERPLEXITY, SUMMARY)
    assert "update 1,000 of 1,000" in report[2]


def test_the_translations_of_a_failed_run_lead_to_no_suggestion():
    scores = {"bleu": 1.0, "chrf": 1.0, "length_ratio": 3.0, "copied": 0.5}
    (lower,) = suggestions(history(RISING, **scores), BY_PERPLEXITY, SUMMARY)
    assert lower.endswith("--set training.learning_rate=0.001")


def test_more_minutes_are_suggested_for_a_run_that_they_ended():
    config = resolve({"training": {"minutes": 2.5, "metric": "perplexity"}})
    (longer, *_) = suggestions(history(FALLING), config, SUMMARY)
    assert longer.endswith("--minutes 5")
    (longer, *_) = suggestions(history(FALLING), BY_PERPLEXITY, SUMMARY)
    assert longer.endswith("--set training.updates=2000")


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"attention": "none", "dropout": 0.6},
        {"coverage": "linear"},
        {"encoder": "unidirectional", "bridge": "copy", "encoder_size": 512},
        {"score": "dot", "encoder_projection": 512},
    ],
)
@pytest.mark.parametrize(
    "losses", [(FALLING,), (SETTLED,), (RISING, FALLING), (RISING,), (FALLING[:2],)]
)
@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
def test_the_settings_of_every_suggestion_are_accepted(model, losses, ratio):
    config = resolve({"model": model, "training": {"metric": "perplexity"}})
    events = history(*losses, bleu=1.0, chrf=1.0, length_ratio=ratio, copied=0.2)
    found = suggestions(events, config, replace(SUMMARY, unknown=0.01))
    assert 1 <= len(found) <= MAX_SUGGESTIONS
    for suggestion in found:
        words = shlex.split(suggestion.partition(": seq2seq ")[2])
        assert words, suggestion
        resolve(
            config.model_dump(exclude_none=True),
            parse_settings(re.findall(r"\S+\.\S+=\S+", suggestion)),
        )


def test_a_report_is_written_into_the_run_directory(tmp_path, store):
    made = new_run(tmp_path / "run", store)
    outcome, _ = train(made, store)
    run = RunDirectory.open(made.path)
    lines = write_report(run, store, outcome)
    assert run.report.read_text() == "".join(f"{line}\n" for line in lines)
    assert any("update 20 of 20" in line for line in lines)
    assert outcome.state.tokens == sum(
        line.tokens for line in run.read_metrics() if isinstance(line, UpdateLine)
    )
    assert outcome.state.processor_seconds > 0
