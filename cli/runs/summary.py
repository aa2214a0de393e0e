"""How a training went, in plain words, and what to try next: a function of what it left behind."""

import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from cli.runs.config import RunConfig
from cli.runs.directory import RunDirectory
from cli.runs.progress import clock_time

if TYPE_CHECKING:
    from cli.runs.training import Outcome
    from data.token_store import TokenStore

Event = dict[str, Any]  # a line of metrics.jsonl

NOTICEABLE = 0.02
"""Nats a token, 2 % of perplexity: about what another seed changes; less is no news."""
LAST_QUARTER = 0.75  # a run is still improving when its last quarter gained something noticeable
FEWEST_VALIDATIONS = 4  # with fewer there is no course to speak of
SHORT, LONG = 0.9, 1.1
"""Ratios of length: BLEU's brevity penalty takes 10 % off at 0.9; well above 1.1 models repeat."""
MANY_UNKNOWN = 0.001  # one piece in a thousand: a reader stumbles every few pages
MANY_COPIED = 0.05  # one word in twenty; names that are the same in both languages are no copies
MOST_DROPOUT = 0.5  # what recurrent models still learn with
MOST_SUGGESTIONS = 3


@dataclass(frozen=True)
class Facts:
    """What a report knows beside the history and the settings."""

    run: Path
    store: Path
    reason: str  # why training ended
    updates: int
    best_update: int
    epoch: int  # the one that training ended in
    tokens: int  # target tokens trained on
    seconds: float
    processor_seconds: float  # of all threads
    checkpoint_bytes: int
    unknown: float  # share of pieces of the validation text that are unknown


class LossTrend(NamedTuple):
    """How the validation loss went, and since which update."""

    kind: Literal["short", "improving", "level", "overfitting", "worse"]
    since: int


def write_report(run: RunDirectory, store: "TokenStore", outcome: "Outcome") -> list[str]:
    """The lines of the report on a training that has ended, which report.txt then has too."""
    from seq2seq.system.files import replacing

    facts = Facts(
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
    )
    lines = report_lines(run.read_metrics(), run.config, facts)
    with replacing(run.report) as partial:
        partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return lines


def report_lines(history: list[Event], config: RunConfig, facts: Facts) -> list[str]:
    """What to tell: the course, the result, what it cost, and what to type next."""
    return [
        *_course_lines(history, facts),
        *_result_lines(history, config, facts),
        *_cost_lines(facts),
        *(f"try: {suggestion}" for suggestion in suggestions(history, config, facts)),
    ]


def course_of(history: list[Event]) -> LossTrend:
    """Whether the validation loss still fell at the end, had settled, or rose."""
    validations = _validations(history)
    if len(validations) < FEWEST_VALIDATIONS:
        return LossTrend("short", 0)
    nats = {each["update"]: each["nats_per_token"] for each in validations}
    end = validations[-1]["update"]
    best = min(nats, key=lambda update: nats[update])
    if nats[end] - nats[best] > NOTICEABLE:
        fell = _training_nats(history, best, nats) - _training_nats(history, end, nats)
        return LossTrend("overfitting" if fell > 0 else "worse", best)
    before = [update for update in nats if update <= LAST_QUARTER * end]
    if before and nats[before[-1]] - nats[best] > NOTICEABLE:
        return LossTrend("improving", best)
    settled = next(update for update in nats if nats[update] - nats[best] <= NOTICEABLE)
    return LossTrend("level", settled)


def suggestions(history: list[Event], config: RunConfig, facts: Facts) -> list[str]:
    """At most three things to type, the likeliest to help first."""
    course = course_of(history)
    found = [*_by_course(course, config, facts), *_by_structure(config)]
    if course.kind not in ("short", "worse"):  # then its translations say nothing yet
        found += _by_translations(_best_measured(history, facts), config, facts)
    return found[:MOST_SUGGESTIONS]


def _course_lines(history: list[Event], facts: Facts) -> list[str]:
    kind, since = course_of(history)
    said = {
        "short": "too few validations to say how the run went",
        "improving": "still improving at the end: more updates would help",
        "level": f"levelled off: nothing noticeable was gained after update {since:,}",
        "overfitting": f"overfitting since update {since:,}: the training loss went on falling "
        "while the validation loss rose",
        "worse": f"worse since update {since:,}, in training and validation: the learning rate "
        "may be too high",
    }[kind]
    return [f"course: {said}", f"ended: {facts.reason}"]


def _result_lines(history: list[Event], config: RunConfig, facts: Facts) -> list[str]:
    measured = _best_measured(history, facts)
    if measured is None:
        return ["result: nothing was validated"]
    where = (
        f"the average of {len(measured['updates'])} checkpoints"
        if measured["event"] == "average"
        else f"update {facts.best_update:,} of {facts.updates:,}"
    )
    scores = f"perplexity {measured['perplexity']:.3g}"
    if "bleu" in measured:
        scores += f", BLEU {measured['bleu']:.1f}, chrF {measured['chrf']:.1f} (greedy)"
    lines = [f"best by {config.training.metric}: {where}, with {scores} on the validation set"]
    if "length_ratio" in measured:
        ratio, copied = measured["length_ratio"], measured["copied"]
        lines.append(
            f"translations: {ratio:.2f} times as long as the references; {_percent(copied)} of "
            "their words are copied from the source where the reference has others"
        )
    lines.append(f"unknown: {_percent(facts.unknown)} of the pieces of the validation text")
    return lines


def _cost_lines(facts: Facts) -> list[str]:
    speed = facts.tokens / max(facts.seconds, 1e-9)
    return [
        f"seen: {_round(facts.tokens)} target tokens, to within epoch {facts.epoch:,}",
        f"cost: {clock_time(facts.seconds)} and {clock_time(facts.processor_seconds)} of "
        f"processor time, validations included; {_round(speed)} tokens a second",
        f"size: {facts.checkpoint_bytes / 1e6:.3g} MB a checkpoint",
    ]


def _by_course(course: LossTrend, config: RunConfig, facts: Facts) -> list[str]:
    training, model = config.training, config.model
    if course.kind == "short":
        often = max(1, facts.updates // 10)
        return [_train(facts, "validate more often", f"--set training.validate_every={often}")]
    if course.kind == "improving":
        minutes = training.minutes is not None and facts.updates < training.updates
        longer = (
            f"--minutes {2 * (training.minutes or 1):g}"
            if minutes
            else f"--set training.updates={2 * facts.updates}"
        )
        return [_train(facts, "train longer", longer)]
    if course.kind == "worse":
        rate = training.learning_rate / 2
        return [_train(facts, "a lower rate", f"--set training.learning_rate={rate:.2g}")]
    if course.kind == "overfitting":
        return _against_overfitting(config, facts)
    wider = {"decoder_size": 2 * model.decoder_size, "encoder_size": 2 * model.encoder_size}
    options = " ".join(f"--set model.{name}={size}" for name, size in wider.items())
    found = [_train(facts, "a wider model", options)] if _fits(config, wider) else []
    return [*found, *_averages(config, facts)]


def _fits(config: RunConfig, model: dict[str, Any]) -> bool:
    """Whether settings of the model go with the others."""
    from cli.runs.config import build_section
    from seq2seq.errors import ConfigError

    try:
        build_section("model", config.model.model_dump() | model)
    except ConfigError:
        return False
    return True


def _against_overfitting(config: RunConfig, facts: Facts) -> list[str]:
    dropout = min(round(config.model.dropout + 0.1, 2), MOST_DROPOUT)
    if config.model.dropout < MOST_DROPOUT:
        found = [_train(facts, "more dropout", f"--set model.dropout={dropout:g}")]
    else:
        found = [_train(facts, "smaller weights", "--set training.weight_decay=0.01")]
    return [*found, *_averages(config, facts)]


def _averages(config: RunConfig, facts: Facts) -> list[str]:
    if config.training.ema or config.training.average != "none":
        return []
    return [_train(facts, "average the weights", "--set training.ema=0.999")]


def _by_structure(config: RunConfig) -> list[str]:
    if config.model.attention == "none":
        return ["attention, which long sentences need: seq2seq train ... --attention luong"]
    return []


def _by_translations(measured: Event | None, config: RunConfig, facts: Facts) -> list[str]:
    """What the text itself says."""
    found = []
    ratio = (measured or {}).get("length_ratio", 1.0)
    if ratio < SHORT:
        alpha = config.search.length_penalty + 0.5
        found.append(
            "translations are short, favour longer ones: seq2seq translate "
            f"{shlex.quote(str(facts.run))} FILE --set search.length_penalty={alpha:g}"
        )
    if ratio > LONG and config.model.attention != "none" and config.model.coverage == "none":
        found.append(
            _train(
                facts, "translations are long, see that none repeats", "--set model.coverage=gru"
            )
        )
    if facts.unknown > MANY_UNKNOWN:
        found.append(
            "pieces for rare characters: seq2seq preprocess ... --set data.character_coverage=1.0"
        )
    if (measured or {}).get("copied", 0.0) > MANY_COPIED:
        found.append("look for untranslated lines in the corpus: seq2seq check SOURCE TARGET")
    return found


def _train(facts: Facts, why: str, options: str) -> str:
    return f"{why}: seq2seq train {shlex.quote(str(facts.store))} NEW_RUN ... {options}"


def _validations(history: list[Event]) -> list[Event]:
    return [event for event in history if event["event"] == "validation"]


def _best_measured(history: list[Event], facts: Facts) -> Event | None:
    """The figures of what `best` names."""
    for event in history:
        if event["event"] == "average" and event["better"]:
            return event
    return next((e for e in _validations(history) if e["update"] == facts.best_update), None)


def _training_nats(history: list[Event], until: int, nats: dict[int, float]) -> float:
    """The mean training loss between a validation and the one before it."""
    begin = max((update for update in nats if update < until), default=0)
    window = [
        event["nats_per_token"]
        for event in history
        if event["event"] == "update" and begin < event["update"] <= until
    ]
    return sum(window) / len(window) if window else math.nan  # compares as "did not fall"


def _unknown_share(store: "TokenStore") -> float:
    import numpy as np

    from seq2seq.batch import UNK

    ids = store.split("valid").ids
    return float(np.mean(np.asarray(ids) == UNK)) if len(ids) else 0.0


def _percent(share: float) -> str:
    if share == 0:
        return "none"
    return f"{100 * share:.2g} %" if share >= MANY_UNKNOWN else "under 0.1 %"


def _round(count: float) -> str:
    """Two figures are all that anyone needs: 1.2 million, 34,000."""
    if count >= 1e6:
        return f"{count / 1e6:.2g} million" if count < 1e8 else f"{count / 1e6:,.0f} million"
    digits = 2 - len(str(int(count)))
    return f"{int(round(count, digits)):,}" if count >= 100 else f"{count:.0f}"
