"""The settings that a search varies, each around the value that the run would have without it."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from cli.runs.choice import UNLIMITED
from cli.runs.config import RunConfig, Values, resolve
from seq2seq.errors import ConfigError

Value: TypeAlias = bool | int | float
Settings: TypeAlias = dict[str, Value]
"""Values by the names of settings, such as "model.dropout"."""

_RATES = 2.5  # a learning rate is searched between the default divided by this, and multiplied
_DROPOUTS = 0.2  # a dropout is searched up to this in any case
_MAX_DROPOUT = 0.7
_DEPENDENT = {
    "model.encoder_size": "model.decoder_size",
    "training.batch_tokens": "training.updates",
}
"""Settings that change with a dimension: the decoder keeps its proportion to the encoder, and a
training its number of epochs."""


@dataclass(frozen=True)
class Dimension:
    """A setting with the range that is searched."""

    name: str
    default: Value
    distribution: BaseDistribution

    def rounded(self, value: Value) -> Value:
        """A rate or a dropout with two digits, as a person would write it."""
        if not isinstance(self.distribution, FloatDistribution):
            return value
        return float(min(max(_two_digits(value), self.distribution.low), self.distribution.high))


def space_around(config: RunConfig, given: Collection[str]) -> list[Dimension]:
    """The dimensions of a search. A dimension is left out if the user has given its setting, or the
    one that depends on it.

    given: names of settings
    """
    fixed = set(given)
    return [
        each
        for each in _dimensions(config)
        if each.name not in fixed and _DEPENDENT.get(each.name) not in fixed
    ]


def with_settings(config: RunConfig, settings: Settings) -> RunConfig:
    """The configuration at a point of the space, with the settings that depend on it."""
    model, training = config.model, config.training
    changed = dict(settings)
    if size := settings.get("model.encoder_size"):
        changed["model.decoder_size"] = max(
            1, round(model.decoder_size * size / model.encoder_size)
        )
    if (batch := settings.get("training.batch_tokens")) and training.updates < UNLIMITED:
        changed["training.updates"] = round(training.updates * training.batch_tokens / batch)
    values: Values = {}
    for name, value in changed.items():
        section, _, key = name.partition(".")
        values.setdefault(section, {})[key] = value
    return resolve(config.model_dump(exclude_none=True), values)


def _dimensions(config: RunConfig) -> Iterator[Dimension]:
    model, training = config.model, config.training
    rate = training.learning_rate
    yield Dimension(
        "training.learning_rate",
        rate,
        FloatDistribution(_two_digits(rate / _RATES), _two_digits(rate * _RATES), log=True),
    )
    yield _in_eighths("training.batch_tokens", training.batch_tokens, range(4, 17))
    size = _in_eighths("model.encoder_size", model.encoder_size, range(5, 13))
    if _all_fit(config, size):
        yield size
    for name in ("embedding_dropout", "dropout", "readout_dropout", "word_dropout"):
        if (value := getattr(model, name)) is not None:
            low, high = _two_digits(value / 2), min(max(2 * value, _DROPOUTS), _MAX_DROPOUT)
            yield Dimension(
                f"model.{name}", value, FloatDistribution(low, max(_two_digits(high), value))
            )
    if model.attention != "none":
        yield Dimension(
            "model.attend_eos", model.attend_eos, CategoricalDistribution([True, False])
        )


def _in_eighths(name: str, default: int, eighths: range) -> Dimension:
    """A size between some eighths of its default, in steps of an eighth."""
    step = max(1, default // 8)
    low, high = (default + step * (n - 8) for n in (eighths[0], eighths[-1]))
    low = next(value for value in range(low, default + 1, step) if value > 0)
    return Dimension(name, default, IntDistribution(low, high, step=step))


def _all_fit(config: RunConfig, size: Dimension) -> bool:
    """Whether the model may have every one of these sizes; a number of heads may not divide one."""
    distribution = size.distribution
    assert isinstance(distribution, IntDistribution)
    try:
        for value in range(distribution.low, distribution.high + 1, distribution.step):
            with_settings(config, {size.name: value})
    except ConfigError:
        return False
    return True


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")
