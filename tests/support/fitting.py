"""The training loop without files: batches made by hand, and the events of `fit`."""

import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from tiny import REAL_IDS, padded

from seq2seq.batch import Batch, BatchPosition
from seq2seq.config import TrainingConfig
from seq2seq.model import EncoderDecoder
from seq2seq.training.events import Finished, TrainingState, Update, Validation, ValidationScores
from seq2seq.training.loop import fit
from seq2seq.training.optimization import build_optimizer


def mirrored(count: int, rng: random.Random) -> list[tuple[list[int], list[int]]]:
    sources = [[rng.choice(REAL_IDS) for _ in range(rng.randint(2, 5))] for _ in range(count)]
    return [(source, source[::-1]) for source in sources]


def endless(*, sentences: int = 4, seed: int = 5) -> Iterator[Batch]:
    rng = random.Random(seed)
    for number in itertools.count():
        batch = padded(mirrored(sentences, rng))
        yield replace(batch, position=BatchPosition(1, number))


def events_of(
    model: EncoderDecoder,
    config: TrainingConfig,
    *,
    nats: Callable[[], float] = lambda: 1.0,
    batches: Iterator[Batch] | None = None,
    **options: Any,
) -> list[Update | Validation | Finished]:
    optimizer = build_optimizer(model, config)
    options = {"state": TrainingState()} | options
    return list(
        fit(
            model,
            optimizer,
            batches or endless(),
            lambda: ValidationScores(nats()),
            config,
            **options,
        )
    )


def kinds(events: Iterable[object]) -> str:
    """Updates, validations and the end as letters, in order."""
    return "".join({Update: "u", Validation: "v", Finished: "f"}[type(e)] for e in events)
