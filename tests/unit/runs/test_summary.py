"""The report on a training, on invented histories: what it says, and that what it says to type is
accepted."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from reruns import new_run, train

from cli.runs.config import RunConfig, parse_settings, resolve
from cli.runs.directory import RunDirectory
from cli.runs.summary import (
    MOST_SUGGESTIONS,
    Facts,
    course_of,
    report_lines,
    suggestions,
    write_report,
)

FACTS = Facts(
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


def history(validation: list[float], training: list[float] | None = None, **measured: float):
    """A validation every 100 updates, with the training loss of the updates before it."""
    events = []
    for number, nats in enumerate(validation, start=1):
        loss = (training or validation)[number - 1]
        events += [
            {"event": "update", "update": 100 * number - back, "nats_per_token": loss}
            for back in (50, 0)
        ]
        events.append(
            {
                "event": "validation",
                "update": 100 * number,
                "nats_per_token": nats,
                "perplexity": 2.718281828459045**nats,
                **measured,
            }
        )
    return events


FALLING = [5.0, 4.0, 3.5, 3.2, 3.0, 2.9, 2.8, 2.7, 2.6, 2.5]
SETTLED = [5.0, 4.0, 3.5, 3.2, 3.01, 3.0, 2.999, 3.0, 2.999, 3.001]
RISING = [5.0, 4.0, 3.5, 3.2, 3.0, 3.1, 3.2, 3.3, 3.4, 3.5]


@pytest.mark.parametrize(
    ("validation", "training", "course"),
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
def test_the_course_is_told_from_validation_and_training_loss(validation, training, course):
    assert course_of(history(validation, training)) == course


def test_a_whole_report():
    scores = {"bleu": 21.234, "chrf": 45.678, "length_ratio": 0.8567, "copied": 0.0613}
    told = report_lines(
        history(RISING, FALLING, **scores), RunConfig(), replace(FACTS, best_update=500)
    )
    assert told == [
        "course: overfitting since update 500: the training loss went on falling while the "
        "validation loss rose",
        "ended: all 1,000 updates are done",
        "best by perplexity: update 500 of 1,000, with perplexity 20.1, BLEU 21.2, chrF 45.7 "
        "(greedy) on the validation set",
        "translations: 0.86 times as long as the references; 6.1 % of their words are copied from "
        "the source where the reference has others",
        "unknown: none of the pieces of the validation text",
        "seen: 1.2 million target tokens, to within epoch 7",
        "cost: 12:34 and 24:10 of processor time, validations included; 1,600 tokens a second",
        "size: 123 MB a checkpoint",
        "try: more dropout: seq2seq train 'my store' NEW_RUN ... --set model.dropout=0.4",
        "try: average the weights: seq2seq train 'my store' NEW_RUN ... --set training.ema=0.999",
        "try: translations are short, favour longer ones: seq2seq translate 'runs/a b' FILE "
        "--set search.length_penalty=1.5",
    ]


def test_an_average_that_is_best_is_the_result():
    events = history(SETTLED)
    average = {
        "event": "average", "updates": [800, 900, 1000], "nats_per_token": 2.9,
        "perplexity": 18.174, "better": True,
    }  # fmt: skip
    told = report_lines([*events, average], RunConfig(), FACTS)
    assert "best by perplexity: the average of 3 checkpoints, with perplexity 18.2" in told[2]
    told = report_lines([*events, average | {"better": False}], RunConfig(), FACTS)
    assert "update 1,000 of 1,000" in told[2]


def test_translations_of_a_run_that_went_wrong_say_nothing():
    scores = {"bleu": 1.0, "chrf": 1.0, "length_ratio": 3.0, "copied": 0.5}
    (lower,) = suggestions(history(RISING, **scores), RunConfig(), FACTS)
    assert lower.endswith("--set training.learning_rate=0.001")


def test_a_run_that_minutes_ended_gets_more_of_them():
    config = resolve({"training": {"minutes": 2.5}})
    (longer, *_) = suggestions(history(FALLING), config, FACTS)
    assert longer.endswith("--minutes 5")
    (longer, *_) = suggestions(history(FALLING), RunConfig(), FACTS)
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
def test_there_is_something_to_try_and_its_settings_are_accepted(model, losses, ratio):
    config = resolve({"model": model})
    events = history(*losses, bleu=1.0, chrf=1.0, length_ratio=ratio, copied=0.2)
    found = suggestions(events, config, replace(FACTS, unknown=0.01))
    assert 1 <= len(found) <= MOST_SUGGESTIONS
    for suggestion in found:
        words = shlex.split(suggestion.partition(": seq2seq ")[2])
        assert words, suggestion
        resolve(
            config.model_dump(exclude_none=True),
            parse_settings(re.findall(r"\S+\.\S+=\S+", suggestion)),
        )


def test_a_report_is_written_beside_the_run(tmp_path, store):
    made = new_run(tmp_path / "run", store)
    outcome, _ = train(made, store)
    run = RunDirectory.open(made.path)
    lines = write_report(run, store, outcome)
    assert run.report.read_text() == "".join(f"{line}\n" for line in lines)
    assert any("update 20 of 20" in line for line in lines)
    assert outcome.state.tokens == sum(
        each["tokens"] for each in run.read_metrics() if each["event"] == "update"
    )
    assert outcome.state.processor_seconds > 0
