"""The history of a run: the lines of its metrics.jsonl, samples.jsonl and curves.jsonl, typed."""

import json
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from pydantic import TypeAdapter

from seq2seq.evaluation.attention_shape import AttentionShape
from seq2seq.system.files import parse_json
from seq2seq.system.visible import json_line
from seq2seq.training.events import TrainingState, Update, Validation, ValidationScores


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateLine:
    """An update: one in every `training.log_every` is recorded."""

    update: int
    epoch: int
    batch: int  # within its epoch, from 0; the first one, if an update has several
    tokens: int  # target tokens
    nats_per_token: float  # negative log-likelihood
    objective_per_token: float  # what was minimised
    gradient_norm: float  # before clipping
    learning_rate: float

    @classmethod
    def of(cls, event: Update) -> "UpdateLine":
        return cls(
            update=event.state.update,
            epoch=event.batch.epoch,
            batch=event.batch.batch,
            tokens=event.tokens,
            nats_per_token=event.nats_per_token,
            objective_per_token=event.objective_per_token,
            gradient_norm=event.gradient_norm,
            learning_rate=event.learning_rate,
        )

    def to_json(self) -> str:
        values = asdict(self)
        return _json(event="update", **{_KEYS.get(name, name): values[name] for name in values})

    def precedes(self, state: TrainingState) -> bool:
        """Whether it was recorded before training reached `state`."""
        return self.update <= state.update


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationLine:
    """A validation."""

    update: int
    scores: ValidationScores
    best_update: int  # the best so far, this one included
    reduced: bool = False  # whether the learning rate is lower from here on

    @classmethod
    def of(cls, event: Validation) -> "ValidationLine":
        return cls(
            update=event.state.update,
            scores=event.measured,
            best_update=event.state.best_update,
            reduced=event.reduced,
        )

    def to_json(self) -> str:
        return _json(
            event="validation",
            update=self.update,
            **scores_by_name(self.scores),
            best_update=self.best_update,
            **({"reduced": True} if self.reduced else {}),
        )

    def precedes(self, state: TrainingState) -> bool:
        """Whether it was recorded before training reached `state`."""
        return self.update <= state.validated


@dataclass(frozen=True, slots=True, kw_only=True)
class AverageLine:
    """The validation of averaged checkpoints, when training has ended."""

    updates: list[int]  # of the checkpoints that were averaged
    scores: ValidationScores
    better: bool  # than the best single checkpoint

    def to_json(self) -> str:
        return _json(
            event="average",
            updates=self.updates,
            **scores_by_name(self.scores),
            better=self.better,
        )

    def precedes(self, state: TrainingState) -> bool:
        """Never: it is recorded again whenever training ends."""
        return False


HistoryLine: TypeAlias = UpdateLine | ValidationLine | AverageLine


@dataclass(frozen=True, slots=True)
class Sample:
    """A validation sentence and how the model translates it."""

    line: int  # in the validation set, from 1
    source: str
    reference: str
    translation: str


@dataclass(frozen=True, slots=True)
class SampleLine:
    """A sample as it was translated in the validation after an update."""

    update: int
    sample: Sample

    def values(self) -> dict[str, Any]:
        """Its keys and values in JSON."""
        return {"update": self.update, **asdict(self.sample)}

    def to_json(self) -> str:
        return json_line(self.values())

    def precedes(self, state: TrainingState) -> bool:
        """Whether it was recorded before training reached `state`."""
        return self.update <= state.validated


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveLine:
    """A validation: time and tokens trained until then, and the shape of attention.

    Times differ whenever a run is repeated, so metrics.jsonl does not have them.
    """

    update: int
    seconds: float  # trained so far, validations included
    tokens: int  # target tokens trained on so far
    entropy: float | None = None  # of attention, as in `AttentionShape`; None where there is none
    monotonicity: float | None = None

    @classmethod
    def of(cls, event: Validation, attention: AttentionShape | None) -> "CurveLine":
        shape = attention._asdict() if attention else {}
        state = event.state
        return cls(update=state.update, seconds=state.seconds, tokens=state.tokens, **shape)

    def to_json(self) -> str:
        return _json(**{name: value for name, value in asdict(self).items() if value is not None})

    def precedes(self, state: TrainingState) -> bool:
        """Whether it was recorded before training reached `state`."""
        return self.update <= state.validated


def parse_history(text: str) -> HistoryLine:
    """A line of metrics.jsonl; raises ValueError for anything else."""
    values = parse_json(text)
    line: HistoryLine
    match values:
        case {"event": "update"}:
            renamed = {name: values[key] for name, key in _KEYS.items() if key in values}
            line = _UPDATE.validate_python(values | renamed)
        case {"event": "validation"}:
            line = _VALIDATION.validate_python(values | {"scores": values})
        case {"event": "average"}:
            line = _AVERAGE.validate_python(values | {"scores": values})
        case _:
            raise ValueError("it is no event of a training")
    return line


def parse_sample(text: str) -> SampleLine:
    """A line of samples.jsonl; raises ValueError for anything else."""
    values = parse_json(text)
    if not isinstance(values, dict):
        raise ValueError("it is no sample of a validation")
    return _SAMPLE.validate_python(values | {"sample": values})


def parse_curve(text: str) -> CurveLine:
    """A line of curves.jsonl; raises ValueError for anything else."""
    return _CURVE.validate_python(parse_json(text))


def scores_by_name(scores: ValidationScores) -> dict[str, float]:
    """The scores of a validation by their names in JSON, without those that were not computed."""
    found = {"nats_per_token": scores.nats_per_token, "perplexity": scores.perplexity}
    for name in ("bleu", "chrf", "length_ratio", "copied"):
        if (value := getattr(scores, name)) is not None:
            found[name] = value
    return found


_KEYS = {"objective_per_token": "smoothed_nats_per_token"}
"""Fields of an update that have another key in metrics.jsonl."""
_UPDATE = TypeAdapter(UpdateLine)
_VALIDATION = TypeAdapter(ValidationLine)
_AVERAGE = TypeAdapter(AverageLine)
_SAMPLE = TypeAdapter(SampleLine)
_CURVE = TypeAdapter(CurveLine)


def _json(**values: object) -> str:
    return json.dumps(values) + "\n"
