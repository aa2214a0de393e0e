"""report.txt: how a training went, in plain words, and commands to try next."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from cli.runs.config import RunConfig, build_section
from cli.runs.directory import RunDirectory
from cli.runs.history import AverageLine, HistoryLine, UpdateLine, ValidationLine
from cli.runs.progress import clock_time
from cli.runs.training import Outcome
from cli.runs.validation import search_name
from data.token_store import TokenStore
from seq2seq.batch import UNK
from seq2seq.errors import ConfigError
from seq2seq.evaluation.quality import bleu_problem
from seq2seq.system.figures import megabytes, percent
from seq2seq.system.files import replacing
from seq2seq.system.shell import command
from seq2seq.training.events import METRIC_NAMES, ValidationScores

History: TypeAlias = Sequence[HistoryLine]

NOTICEABLE = {"perplexity": 0.02, "bleu": 1.0, "chrf": 1.0}
"""Nats per token, or points: about as much as another seed changes."""
LAST_QUARTER = 0.75  # a run is still improving if its last quarter gained something noticeable
MIN_VALIDATIONS = 4  # with fewer there is no trend
SHORT, LONG = 0.9, 1.1
"""Length ratios: BLEU's brevity penalty is 10 % at 0.9; well above 1.1 models repeat themselves."""
MANY_UNKNOWN = 0.001  # of all pieces; one in a thousand is noticed every few pages
MANY_COPIED = 0.05  # of all words; a word that the reference has too, as a name, is not counted
MAX_DROPOUT = 0.5  # recurrent models still learn with it
MAX_SUGGESTIONS = 3


@dataclass(frozen=True)
class RunSummary:
    """A training that has ended: what a report says beside the history and the settings."""

    run: Path
    store: Path
    reason: str  # why training ended
    updates: int
    best_update: int
    epoch: int  # in which training ended
    tokens: int  # target tokens trained on
    seconds: float
    processor_seconds: float  # of all threads
    checkpoint_bytes: int
    unknown: float  # share of the validation set's pieces that are unknown
    bleu_problem: str | None = None  # why BLEU cannot choose the best weights, if it is to


class Trend(NamedTuple):
    """How validations developed by the metric that chooses the best one, and since which update."""

    name: Literal["short", "improving", "level", "overfitting", "worse"]
    since: int


def write_report(run: RunDirectory, store: TokenStore, outcome: Outcome) -> list[str]:
    """Write report.txt for a training that has ended; returns its lines."""
    summary = RunSummary(
        run=run.path,
        store=store.path,
        reason=outcome.reason,
        updates=outcome.state.update,
        best_update=outcome.state.best_update,
        epoch=outcome.state.position.epoch,
        tokens=outcome.state.tokens,
        seconds=outcome.state.seconds,
        processor_seconds=outcome.state.processor_seconds,
        checkpoint_bytes=sum(f.stat().st_size for f in run.checkpoint("best").iterdir()),
        unknown=_unknown_share(store),
        bleu_problem=bleu_problem(store.valid_text("target"), run.languages[1])
        if run.config.training.metric == "bleu"
        else None,
    )
    lines = report_lines(run.read_metrics(), run.config, summary)
    with replacing(run.report) as partial:
        partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return lines


def report_lines(history: History, config: RunConfig, summary: RunSummary) -> list[str]:
    """The trend, the result, the cost, and commands to try next."""
    return [
        *_trend_lines(history, config.training.metric, summary),
        *_result_lines(history, config, summary),
        *_cost_lines(summary),
        *(f"try: {suggestion}" for suggestion in suggestions(history, config, summary)),
    ]


def find_trend(history: History, metric: str) -> Trend:
    """Whether validations by `metric` still improved at the end, had levelled off, or got worse."""
    values = {line.update: line.scores.value(metric) for line in _validations(history)}
    noticeable = NOTICEABLE[metric]
    if len(values) < MIN_VALIDATIONS:
        return Trend("short", 0)
    end, best = max(values), max(values, key=lambda update: values[update])
    if values[best] - values[end] > noticeable:
        fall = _training_nats(history, best, values) - _training_nats(history, end, values)
        return Trend("overfitting" if fall > 0 else "worse", best)
    before = [update for update in values if update <= LAST_QUARTER * end]
    if before and values[best] - values[before[-1]] > noticeable:
        return Trend("improving", best)
    levelled = next(update for update in values if values[best] - values[update] <= noticeable)
    return Trend("level", levelled)


def suggestions(history: History, config: RunConfig, summary: RunSummary) -> list[str]:
    """At most three commands to try, the most promising first."""
    trend = find_trend(history, config.training.metric)
    found = [*_for_trend(trend, config, summary), *_for_architecture(config)]
    if trend.name not in ("short", "worse"):  # else its translations are not worth a look yet
        found += _for_translations(_best_scores(history, summary), config, summary)
    return found[:MAX_SUGGESTIONS]


def _trend_lines(history: History, metric: str, summary: RunSummary) -> list[str]:
    name, since = find_trend(history, metric)
    worse = "perplexity rose" if metric == "perplexity" else f"{METRIC_NAMES[metric]} fell"
    text = {
        "short": "too few validations to see a trend",
        "improving": "still improving at the end: more updates would help",
        "level": f"levelled off: no noticeable gain after update {since:,}",
        "overfitting": f"overfitting since update {since:,}: the training loss kept falling "
        f"while {worse} in validation",
        "worse": f"worse since update {since:,}, in training and validation: the learning rate "
        "may be too high",
    }[name]
    return [f"trend: {text}", *_perplexity_lines(history, metric, name), f"ended: {summary.reason}"]


def _perplexity_lines(history: History, metric: str, trend: str) -> list[str]:
    """A line about perplexity where it got worse and the translations did not."""
    loss, since = find_trend(history, "perplexity")
    is_worse = loss in ("overfitting", "worse")
    if metric == "perplexity" or trend not in ("improving", "level") or not is_worse:
        return []
    return [
        f"perplexity: rose since update {since:,}, and {METRIC_NAMES[metric]} did not fall: "
        "the model is surer of its mistakes, but its translations are no worse"
    ]


def _result_lines(history: History, config: RunConfig, summary: RunSummary) -> list[str]:
    average, scores = _best_average(history), _best_scores(history, summary)
    if scores is None:
        return ["result: there was no validation"]
    where = (
        f"the average of {len(average.updates)} checkpoints"
        if average
        else f"update {summary.best_update:,} of {summary.updates:,}"
    )
    values = f"perplexity {scores.perplexity:.3g}"
    if scores.bleu is not None and scores.chrf is not None:
        values += (
            f", BLEU {scores.bleu:.1f}, chrF {scores.chrf:.1f} ({search_name(config.training)})"
        )
    metric = METRIC_NAMES[config.training.metric]
    lines = [f"best by {metric}: {where}, with {values} on the validation set"]
    if summary.bleu_problem:
        lines.append(f"metric: {summary.bleu_problem} (training.metric=chrf)")
    if scores.length_ratio is not None and scores.copied is not None:
        lines.append(
            f"translations: {scores.length_ratio:.2f} times as long as the references; "
            f"{_share(scores.copied)} of their words are in the source but not in the reference"
        )
    lines.append(f"unknown: {_share(summary.unknown)} of the pieces of the validation set")
    return lines


def _cost_lines(summary: RunSummary) -> list[str]:
    speed = summary.tokens / max(summary.seconds, 1e-9)
    return [
        f"trained on: {_round(summary.tokens)} target tokens, up to epoch {summary.epoch:,}",
        f"time: {clock_time(summary.seconds)}, {clock_time(summary.processor_seconds)} of "
        f"processor time, validations included; {_round(speed)} tokens per second",
        f"size: {megabytes(summary.checkpoint_bytes)} per checkpoint",
    ]


def _for_trend(trend: Trend, config: RunConfig, summary: RunSummary) -> list[str]:
    training, model = config.training, config.model
    if trend.name == "short":
        every = max(1, summary.updates // 10)
        return [
            _retraining(summary, "validate more often", f"--set training.validate_every={every}")
        ]
    if trend.name == "improving":
        longer = f"--set training.updates={2 * summary.updates}"
        if training.minutes is not None and summary.updates < training.updates:
            longer = f"--minutes {2 * training.minutes:g}"
        return [_retraining(summary, "train longer", longer)]
    if trend.name == "worse":
        rate = training.learning_rate / 2
        lower = f"--set training.learning_rate={rate:.2g}"
        return [_retraining(summary, "a lower learning rate", lower)]
    if trend.name == "overfitting":
        return _against_overfitting(config, summary)
    wider = {"decoder_size": 2 * model.decoder_size, "encoder_size": 2 * model.encoder_size}
    options = " ".join(f"--set model.{name}={size}" for name, size in wider.items())
    found = [_retraining(summary, "a wider model", options)] if _fits(config, wider) else []
    return [*found, *_average_suggestion(config, summary)]


def _fits(config: RunConfig, model: dict[str, Any]) -> bool:
    """Whether the model may have these settings instead of its own."""
    try:
        build_section("model", config.model.model_dump() | model)
    except ConfigError:
        return False
    return True


def _against_overfitting(config: RunConfig, summary: RunSummary) -> list[str]:
    dropout = min(round(config.model.dropout + 0.1, 2), MAX_DROPOUT)
    if config.model.dropout < MAX_DROPOUT:
        found = [_retraining(summary, "more dropout", f"--set model.dropout={dropout:g}")]
    else:
        found = [_retraining(summary, "smaller weights", "--set training.weight_decay=0.01")]
    return [*found, *_average_suggestion(config, summary)]


def _average_suggestion(config: RunConfig, summary: RunSummary) -> list[str]:
    if config.training.ema or config.training.average != "none":
        return []
    return [_retraining(summary, "average the weights", "--set training.ema=0.999")]


def _for_architecture(config: RunConfig) -> list[str]:
    if config.model.attention == "none":
        return ["attention, which helps with long sentences: seq2seq train ... --attention luong"]
    return []


def _for_translations(
    scores: ValidationScores | None, config: RunConfig, summary: RunSummary
) -> list[str]:
    found = []
    ratio = scores.length_ratio if scores and scores.length_ratio is not None else 1.0
    copied = scores.copied if scores and scores.copied is not None else 0.0
    if ratio < SHORT:
        alpha = config.search.length_penalty + 0.5
        found.append(
            "translations are short, favour longer ones: "
            + command("translate", summary.run, "FILE", "--set", f"search.length_penalty={alpha:g}")
        )
    if ratio > LONG and config.model.attention != "none" and config.model.coverage == "none":
        why = "translations are long, use coverage against repetitions"
        found.append(_retraining(summary, why, "--set model.coverage=gru"))
    if summary.unknown > MANY_UNKNOWN:
        found.append(
            "pieces for rare characters: seq2seq preprocess ... --set data.character_coverage=1.0"
        )
    if copied > MANY_COPIED:
        found.append("look for untranslated lines in the corpus: seq2seq check SOURCE TARGET")
    return found


def _retraining(summary: RunSummary, why: str, options: str) -> str:
    return f"{why}: {command('train', summary.store, 'NEW_RUN', '...')} {options}"


def _validations(history: History) -> list[ValidationLine]:
    return [line for line in history if isinstance(line, ValidationLine)]


def _best_average(history: History) -> AverageLine | None:
    """The average of checkpoints, where it is the best of the run."""
    averages = (line for line in history if isinstance(line, AverageLine) and line.better)
    return next(averages, None)


def _best_scores(history: History, summary: RunSummary) -> ValidationScores | None:
    """The scores of the checkpoint that `best` names; None without a validation."""
    if average := _best_average(history):
        return average.scores
    found = (each.scores for each in _validations(history) if each.update == summary.best_update)
    return next(found, None)


def _training_nats(history: History, until: int, validated: Iterable[int]) -> float:
    """The mean training loss between the validation at `until` and the one before it.

    validated: the updates after which there was a validation
    """
    begin = max((update for update in validated if update < until), default=0)
    losses = [
        line.nats_per_token
        for line in history
        if isinstance(line, UpdateLine) and begin < line.update <= until
    ]
    return sum(losses) / len(losses) if losses else math.nan  # compares as "did not fall"


def _unknown_share(store: TokenStore) -> float:
    ids = store.split("valid").ids
    return float(np.mean(np.asarray(ids) == UNK)) if len(ids) else 0.0


def _share(share: float) -> str:
    return percent(share) if share else "none"


def _round(count: float) -> str:
    """To two digits: "1.2 million", "34,000"."""
    if count >= 1e6:
        return f"{count / 1e6:.2g} million" if count < 1e8 else f"{count / 1e6:,.0f} million"
    digits = 2 - len(str(int(count)))
    return f"{int(round(count, digits)):,}" if count >= 100 else f"{count:.0f}"
