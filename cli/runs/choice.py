"""Settings of training that nobody gave, chosen from the corpus and the time there is.

Every chosen setting is a continuous function of N, the target tokens of an epoch. The anchors are
the recipes, tuned on corpora of their sizes (docs/experiments.md), with a lexicon and guided
alignment, which they do not have (docs/training.md); between two of them a setting follows log N on
a straight line, and beyond the outer ones it stays as it is there. Dropout and the encoder's size
also depend on how often training goes through the corpus: from SHORT to LONG epochs they rise with
its logarithm. For the size a corpus smaller than the first anchor counts as if it were as large:
what is learnt by heart from few tokens needs dropout, and no wide model.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from cli.runs.config import RunConfig, Values
from data.token_store import StoredCorpus, TokenStore
from seq2seq.system.figures import counted
from seq2seq.training.schedule import FILLED

UNLIMITED = 1_000_000  # updates, where the minutes end training
SHORT, LONG = 10, 40  # epochs, between which dropout and the encoder's size rise


@dataclass(frozen=True)
class CorpusSize:
    """The size of a corpus, by which settings are chosen."""

    pairs: int  # of an epoch
    target_tokens: int  # of an epoch, EOS included
    joint: bool  # one vocabulary for both sides

    @classmethod
    def of(cls, store: TokenStore, corpora: Sequence[StoredCorpus]) -> "CorpusSize":
        """Count an epoch: a corpus of weight 2 has each of its pairs twice in it."""
        lengths = store.split("train").target_lengths
        pairs = tokens = 0.0
        for corpus in corpora:
            part = lengths[corpus.pairs.start : corpus.pairs.stop]
            pairs += corpus.weight * len(part)
            tokens += corpus.weight * (int(part.sum()) + len(part))
        return cls(round(pairs), max(1, round(tokens)), store.joint)


@dataclass(frozen=True)
class Anchor:
    """Settings that were tuned on a corpus of one size."""

    target_tokens: float  # N, of an epoch
    encoder_size: float  # in each direction; the decoder's is twice as large
    encoder_rise: float  # of the encoder's size, from SHORT to LONG epochs
    embedding_size: float
    attention_size: float
    embedding_dropout: float
    dropout: float
    readout_dropout: float
    dropout_rise: float  # of each dropout, from SHORT to LONG epochs
    batch_tokens: float
    learning_rate: float
    warmup: float  # updates
    lexicon: float  # translations of a source piece
    guided_alignment: float  # the weight of its loss
    tokens_per_second: float  # target tokens of training, on one thread, about
    epochs: float  # where neither minutes nor updates are given


def _anchors(**settings: tuple[float, ...]) -> tuple[Anchor, ...]:
    """The anchors, from the values that each setting has at all of them."""
    columns = zip(*settings.values(), strict=True)
    return tuple(Anchor(**dict(zip(settings, values, strict=True))) for values in columns)


ANCHORS = _anchors(
    # Multi30k: 5,000 pairs, and all 29,000; 200,000 pairs and more
    target_tokens=(75e3, 430e3, 6e6),
    encoder_size=(128, 256, 512),
    encoder_rise=(256, 0, 0),
    embedding_size=(256, 256, 512),
    attention_size=(256, 256, 512),
    embedding_dropout=(0.2, 0.1, 0.1),
    dropout=(0.3, 0.2, 0.2),
    readout_dropout=(0.3, 0.3, 0.2),
    dropout_rise=(0.1, 0.1, 0),
    batch_tokens=(500, 750, 4000),
    learning_rate=(3e-3, 2e-3, 1e-3),
    warmup=(100, 300, 2000),
    lexicon=(50, 50, 0),
    guided_alignment=(0.5, 0.5, 0),
    tokens_per_second=(5000, 3000, 1000),
    epochs=(36, 20, 60),
)


class Choice(NamedTuple):
    """Chosen settings, and by what they were chosen."""

    settings: Values
    reason: str

    def describe(self, given: Values) -> str:
        """A line about the choice, without the settings that were given."""
        chosen = {
            name: value
            for section, values in self.settings.items()
            for name, value in values.items()
            if name not in given.get(section, {}) and value not in (0, UNLIMITED)
        }
        parts = [form.format(chosen[name]) for name, form in _DESCRIBED.items() if name in chosen]
        what = ", ".join(parts) or "all that was not given"
        return f"chosen for {self.reason}: {what} (--recipe or --set changes it)"


_DESCRIBED = {
    "encoder_size": "encoder 2 x {}",
    "decoder_size": "decoder {}",
    "dropout": "dropout {:.2f}",
    "lexicon": "a lexicon of {} translations a piece",
    "guided_alignment": "guided alignment of weight {:.2g}",
    "batch_tokens": "batches of {} tokens",
    "updates": "{:,} updates",
}


class Use(NamedTuple):
    """Which settings of small corpora fit a model."""

    lexicon: bool = True
    guidance: bool = True  # of attention, by links of pieces

    @classmethod
    def of(cls, config: RunConfig) -> "Use":
        """Both need attention weights of single source pieces; guidance needs weights of all
        pieces, none of them 0, and the pieces that are in the store."""
        model, training = config.model, config.training
        lexicon = model.attention != "none" and model.encoder != "pyramid"
        subword_sampling = training.source_subword_sampling or training.target_subword_sampling
        is_soft = model.scope == "global" and model.normalizer == "softmax"
        return cls(lexicon, lexicon and is_soft and not subword_sampling)


def choose_settings(
    size: CorpusSize, *, minutes: float | None, updates: int | None = None, use: Use
) -> Choice:
    """Settings of model and training for a corpus; equal arguments give equal settings.

    minutes, updates: at which training is to end, where that was given
    """
    at = interpolate(size.target_tokens)
    batch = _rounded(at.batch_tokens, 50)
    updates_per_epoch = size.target_tokens / (FILLED * batch)
    limits = [] if updates is None else [updates / updates_per_epoch]  # epochs
    if minutes is not None:
        limits.append(60 * minutes * at.tokens_per_second / size.target_tokens)
    epochs = min(limits, default=at.epochs)
    rise = at.dropout_rise * _share_of_log(epochs, SHORT, LONG)
    seen = epochs * size.target_tokens / at.target_tokens  # fewer epochs for a very small corpus
    growth = at.encoder_rise * _share_of_log(seen, SHORT, LONG)
    encoder_size = _rounded(at.encoder_size + growth, 32)
    settings: Values = {
        "model": {
            "encoder_size": encoder_size,
            "decoder_size": 2 * encoder_size,
            "embedding_size": _rounded(at.embedding_size, 32),
            "attention_size": _rounded(at.attention_size, 32),
            "score": "additive",
            "embedding_dropout": round(at.embedding_dropout + rise, 2),
            "dropout": round(at.dropout + rise, 2),
            "readout_dropout": round(at.readout_dropout + rise, 2),
            "lexicon": round(at.lexicon) if use.lexicon else 0,
        },
        "training": {
            "batch_tokens": batch,
            "learning_rate": float(f"{at.learning_rate:.1e}"),
            "warmup": _rounded(at.warmup, 10),
            "guided_alignment": round(at.guided_alignment, 2) if use.guidance else 0.0,
            "updates": math.ceil(at.epochs * updates_per_epoch) if minutes is None else UNLIMITED,
        },
    }
    if not size.joint:
        settings["model"]["tie_embeddings"] = "decoder"
    limit = "" if updates is None else f" and {updates:,} updates"
    limit += "" if minutes is None else f" and {minutes:g} minutes"
    return Choice(
        settings,
        f"{counted(size.pairs, 'pair')} with {size.target_tokens:,} target tokens{limit}",
    )


def interpolate(target_tokens: float) -> Anchor:
    """The settings of a corpus of this size, between those of its two neighbours."""
    sizes = [anchor.target_tokens for anchor in ANCHORS]
    n = min(max(target_tokens, sizes[0]), sizes[-1])
    above = next(i for i in range(1, len(sizes)) if n <= sizes[i])
    low, high = ANCHORS[above - 1], ANCHORS[above]
    share = _share_of_log(n, low.target_tokens, high.target_tokens)
    values = {
        field.name: (1 - share) * getattr(low, field.name) + share * getattr(high, field.name)
        for field in fields(Anchor)
    }
    return Anchor(**values | {"target_tokens": n})


def _share_of_log(value: float, low: float, high: float) -> float:
    """How far a value is from low to high by their logarithms: 0 up to low, 1 from high on."""
    return math.log(min(max(value, low), high) / low) / math.log(high / low)


def _rounded(value: float, step: int) -> int:
    return max(step, step * round(value / step))
