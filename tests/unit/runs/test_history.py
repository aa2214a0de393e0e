"""The lines of metrics.jsonl and samples.jsonl: read as typed values, written byte for byte."""

from pathlib import Path

import pytest

from cli.runs.history import (
    AverageLine,
    Sample,
    SampleLine,
    UpdateLine,
    ValidationLine,
    parse_history,
    parse_sample,
)
from seq2seq.training.events import TrainingState, ValidationScores

GOLDEN = Path(__file__).parents[2] / "golden" / "runs"
UPDATE = (
    '{"event": "update", "update": 50, "epoch": 2, "batch": 3, "tokens": 240, '
    '"nats_per_token": 5.5, "smoothed_nats_per_token": 5.75, '
    '"gradient_norm": 0.1, "learning_rate": 1e-05}\n'
)
VALIDATION = (
    '{"event": "validation", "update": 100, "nats_per_token": 0.0, "perplexity": 1.0, '
    '"bleu": 11.9, "chrf": 40.5, "length_ratio": 0.8, "copied": 0.0, "best_update": 50}\n'
)
REDUCED = (
    '{"event": "validation", "update": 100, "nats_per_token": 0.0, "perplexity": 1.0, '
    '"best_update": 50, "reduced": true}\n'
)
AVERAGE = (
    '{"event": "average", "updates": [50, 100], "nats_per_token": 0.0, "perplexity": 1.0, '
    '"better": false}\n'
)
SAMPLE = (
    '{"update": 100, "line": 3, "source": "Käse", "reference": "\\u001b[2J", "translation": ""}\n'
)


def test_lines_become_typed_values():
    assert parse_history(UPDATE) == UpdateLine(
        update=50,
        epoch=2,
        batch=3,
        tokens=240,
        nats_per_token=5.5,
        objective_per_token=5.75,
        gradient_norm=0.1,
        learning_rate=1e-5,
    )
    scores = ValidationScores(0.0, 11.9, 40.5, 0.8, 0.0)
    assert parse_history(VALIDATION) == ValidationLine(update=100, scores=scores, best_update=50)
    assert parse_history(REDUCED) == ValidationLine(
        update=100, scores=ValidationScores(0.0), best_update=50, reduced=True
    )
    assert parse_history(AVERAGE) == AverageLine(
        updates=[50, 100], scores=ValidationScores(0.0), better=False
    )
    assert parse_sample(SAMPLE) == SampleLine(100, Sample(3, "Käse", "\x1b[2J", ""))


@pytest.mark.parametrize("line", [UPDATE, VALIDATION, REDUCED, AVERAGE])
def test_a_line_is_written_as_it_was_read(line):
    assert parse_history(line).to_json() == line
    assert parse_sample(SAMPLE).to_json() == SAMPLE


@pytest.mark.parametrize("run", sorted(GOLDEN.iterdir()), ids=lambda path: path.name)
def test_the_lines_of_earlier_versions_are_written_as_they_were_read(run):
    for name, parse in (("metrics.jsonl", parse_history), ("samples.jsonl", parse_sample)):
        lines = (run / "run" / name).read_text(encoding="utf-8").splitlines(keepends=True)
        assert lines and [parse(line).to_json() for line in lines] == lines


@pytest.mark.parametrize(
    "line",
    [
        *("", "[]", "{}", "3", "null", "[" * 5000, UPDATE[:-20]),
        '{"event": []}',
        '{"event": "other", "update": 1}',
        '{"event": "update", "update": 1}',
        UPDATE.replace("50", '"fifty"'),
        VALIDATION.replace("11.9", '"high"'),
        AVERAGE.replace("[50, 100]", "50"),
    ],
)
def test_other_lines_are_refused(line):
    for parse in (parse_history, parse_sample):
        with pytest.raises(ValueError):
            parse(line)


def test_a_line_precedes_the_states_from_its_update_on():
    for line, field in ((UPDATE, "update"), (VALIDATION, "validated")):
        parsed = parse_history(line)
        for update in (parsed.update - 1, parsed.update, parsed.update + 1):
            state = TrainingState(**{field: update})
            assert parsed.precedes(state) == (update >= parsed.update)
    assert parse_sample(SAMPLE).precedes(TrainingState(validated=100))
    assert not parse_sample(SAMPLE).precedes(TrainingState(update=100, validated=99))
    assert not parse_history(AVERAGE).precedes(TrainingState(update=100, validated=100))
