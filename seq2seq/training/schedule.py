"""When a run is validated, on how much, and what that costs.

Costs are in units of a target token of training, forward and backward: that unit depends little on
the model and the machine, and needs no clock, so that a run limited by updates can be repeated.
"""

import math

from seq2seq.config import TrainingConfig
from seq2seq.training.events import TrainingState

VALIDATIONS = 20
"""Validations of a run where nothing else is asked for and their cost allows it."""
FEWEST = 8
"""Validations of a run however much they cost: with fewer the best checkpoint may be missed."""
SHARE = 0.05
"""Of training that validation may cost."""
FILLED = 0.8
"""Target tokens of a batch, as a share of `training.batch_tokens`, about: 0.7 where the two sides
have other lengths than each other in every pair, 0.87 on Multi30k."""

_PERPLEXITY = 0.55  # cost of a token that is scored, in float32; training in bfloat16, on a CPU
_TRANSLATION = 0.3  # cost of a token that is translated, and besides
_HYPOTHESIS = 0.45  # for each hypothesis of the beam
_TOKENS_PER_SECOND = 2000  # of training on one thread, for runs limited by minutes
_LEAST_TOKENS, _MOST_SENTENCES = 3000, 500  # that are translated


def validation_due(state: TrainingState, config: TrainingConfig) -> bool:
    """Whether a run that has come this far is validated, if its weights are not yet.

    Where `validate_every` is left open a run limited by minutes goes by what the last validation
    cost: it may be SHARE of the time since then, but FEWEST validations are done in any case.
    """
    if config.validate_every is not None:
        return state.update % config.validate_every == 0
    done = (state.update - state.validated) / max(config.updates, 1)  # since the last validation
    if config.minutes is None:
        return done >= 1 / VALIDATIONS
    seconds = state.seconds - state.validated_at
    done = max(done, seconds / (60 * config.minutes))
    is_paid = state.validation_seconds <= SHARE * seconds
    return done >= (1 / VALIDATIONS if is_paid else 1 / FEWEST)


def with_validation_planned(
    config: TrainingConfig, *, sentences: int, tokens: int, beam: int
) -> TrainingConfig:
    """The settings with those of validation that are left open chosen by their cost.

    `validate_every` stays open in a run limited by minutes. The beam comes first, then the number
    of validations, then that of sentences: greedy search says little of what a beam will find.

    sentences, tokens: of the validation set, target tokens
    beam: with which the run is going to translate
    """
    if not sentences:
        return config
    length = tokens / sentences
    budget = SHARE * _tokens_of_training(config)
    updates = _tokens_of_training(config) / _tokens_of_update(config)
    wanted = updates / config.validate_every if config.validate_every else VALIDATIONS
    each = budget / max(wanted, 1)
    most = each if config.validate_every else budget / FEWEST

    scored, translated = config.perplexity_sentences, config.validation_sentences
    every = config.validate_every
    share = each / 2 if config.metric == "perplexity" else each / 4
    if scored is None and _PERPLEXITY * tokens > share:
        scored = _within(share / (_PERPLEXITY * length), length, sentences)
    scoring = _PERPLEXITY * length * min(scored or sentences, sentences)
    if config.validation_beam is not None:
        beam = config.validation_beam
    else:
        least = _within(0, length, sentences) if translated is None else min(translated, sentences)
        beam = _largest_beam(beam, least * length, most - scoring)
    if translated is None:
        affordable = (each - scoring) / (_translating(beam) * length)
        translated = _within(min(affordable, _MOST_SENTENCES), length, sentences)
    if every is None and config.minutes is None:
        cost = scoring + _translating(beam) * length * min(translated, sentences)
        count = min(max(budget / max(cost, 1), FEWEST), VALIDATIONS)
        every = max(1, round(config.updates / count))
    return config.model_copy(
        update={
            "perplexity_sentences": scored,
            "validation_sentences": translated,
            "validation_beam": beam,
            "validate_every": every,
        }
    )


def _largest_beam(most: int, tokens: float, cost: float) -> int:
    """The largest beam up to `most` with which so many tokens are translated at this cost; at least
    1, greedy search."""
    return max((b for b in range(1, most + 1) if _translating(b) * tokens <= cost), default=1)


def _translating(beam: int) -> float:
    """The cost of a token that is translated with this beam."""
    return _TRANSLATION + _HYPOTHESIS * beam


def _within(affordable: float, length: float, sentences: int) -> int:
    """How many sentences a validation translates or scores: those that are affordable, but enough
    to choose a checkpoint by, and no more than the validation set has."""
    return min(max(int(affordable), math.ceil(_LEAST_TOKENS / max(length, 1))), sentences)


def _tokens_of_update(config: TrainingConfig) -> float:
    """Target tokens of an update, about."""
    return FILLED * config.accumulate * config.batch_tokens


def _tokens_of_training(config: TrainingConfig) -> float:
    """Target tokens that a run will train on, about."""
    tokens = config.updates * _tokens_of_update(config)
    if config.minutes is None:
        return tokens
    return min(tokens, 60 * config.minutes * _TOKENS_PER_SECOND)
