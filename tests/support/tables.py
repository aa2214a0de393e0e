"""Models that are tables: logits of every sentence and prefix, and what they say of a sequence."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from seq2seq.search.beam import beam_search
from seq2seq.search.greedy import greedy_search
from seq2seq.search.hypothesis import Hypothesis, SearchStep
from seq2seq.search.sampling import sample

BOS, EOS, PAD = 0, 1, 2
FORBIDDEN = (PAD, BOS)
OPTIONS: dict[str, Any] = {"bos": BOS, "eos": EOS, "forbidden": FORBIDDEN}

Logits = Callable[[int, tuple[int, ...]], list[float]]
"""Sentence and prefix -> logits over the vocabulary."""
Scored = tuple[float, tuple[int, ...]]
"""A score, and the ids that have it."""


@dataclass(frozen=True)
class Prefixes:
    """A state that carries each row's sentence and ids, so that a misplaced row is noticed."""

    groups: Tensor  # [B] the sentences, each with as many consecutive rows
    sentences: Tensor  # [R]
    ids: Tensor  # [R, t] the previous ids of all steps before, BOS first

    def select(self, rows: Tensor, sentences: Tensor | None) -> "Prefixes":
        left = self.groups if sentences is None else self.groups[sentences]
        selected = self.sentences[rows]
        assert torch.equal(selected, left.repeat_interleave(len(rows) // len(left)))
        return Prefixes(left, selected, self.ids[rows])


@dataclass
class TableModel:
    """A step function whose logits depend on every row's sentence and whole prefix."""

    logits: Logits
    weights: Callable[[int, tuple[int, ...]], list[float]] | None = None  # `attention` by default
    steps: list[list[int]] = field(default_factory=list)  # the sentences of each step's rows

    def start(self, sentences: Sequence[int]) -> Prefixes:
        rows = torch.tensor(sentences, dtype=torch.int64)
        return Prefixes(rows, rows, torch.zeros(len(sentences), 0, dtype=torch.int64))

    def step(self, previous: Tensor, state: Prefixes) -> SearchStep[Prefixes]:
        ids = torch.cat([state.ids, previous.unsqueeze(1)], dim=1)  # [R, t + 1]
        sentences = state.sentences.tolist()
        self.steps.append(sentences)
        prefixes = [tuple(row[1:]) for row in ids.tolist()]
        table = [self.logits(s, p) for s, p in zip(sentences, prefixes, strict=True)]
        attend = self.weights or attention
        weights = [attend(s, p) for s, p in zip(sentences, prefixes, strict=True)]
        return SearchStep(
            torch.tensor(table, dtype=torch.float64),
            torch.tensor(weights, dtype=torch.float64),
            Prefixes(state.groups, state.sentences, ids),
        )

    def greedy(self, sentences: Sequence[int], **options: Any) -> list[Hypothesis]:
        return greedy_search(
            self.step, self.start(sentences), rows=len(sentences), **OPTIONS | options
        )

    def beam(self, sentences: Sequence[int], **options: Any) -> list[list[Hypothesis]]:
        return beam_search(
            self.step, self.start(sentences), rows=len(sentences), **OPTIONS | options
        )

    def samples(
        self, sentences: Sequence[int], uniforms: Tensor, **options: Any
    ) -> list[Hypothesis]:
        sentence_of_row = torch.zeros(len(sentences), dtype=torch.int64)
        return sample(
            self.step,
            self.start(sentences),
            uniforms=uniforms,
            sentences=sentence_of_row,
            **OPTIONS | options,
        )


def attention(sentence: int, prefix: tuple[int, ...]) -> list[float]:
    """Weights that identify the sentence, and the length and ids of the prefix."""
    number = sum(new * 16.0**position for position, new in enumerate(prefix))
    return [float(sentence), float(len(prefix)), number]


def soft_attention(sentence: int, prefix: tuple[int, ...]) -> list[float]:
    """Weights of three positions that sum to 1."""
    rng = random.Random(f"attention:{sentence}:{prefix}")
    weights = [rng.random() ** 3 for _ in range(3)]
    return [each / sum(weights) for each in weights]


def bigram_logits(seed: int, vocabulary: int) -> Logits:
    """One table of bigrams for each step: with a single one, reordered sequences would tie."""
    rng = random.Random(seed)
    tables = [
        [[rng.gauss(0, 2) for _ in range(vocabulary)] for _ in range(vocabulary)] for _ in range(7)
    ]
    return lambda sentence, prefix: tables[len(prefix)][prefix[-1] if prefix else BOS]


def history_logits(seed: int, vocabulary: int) -> Logits:
    """Logits that depend on the sentence and every id of the prefix; EOS is often likely."""

    def logits(sentence: int, prefix: tuple[int, ...]) -> list[float]:
        rng = random.Random(f"{seed}:{sentence}:{prefix}")
        return [rng.gauss(0, 2) for _ in range(vocabulary)]

    return logits


def log_softmax(logits: list[float]) -> list[float]:
    largest = max(logits)
    total = math.log(math.fsum(math.exp(x - largest) for x in logits))
    return [x - largest - total for x in logits]


def penalised(log_probability: float, length: int, alpha: float) -> float:
    return float(log_probability / ((5 + length) / 6) ** alpha)


def rescore(logits: Logits, sentence: int, ids: tuple[int, ...]) -> float:
    return math.fsum(log_softmax(logits(sentence, ids[:t]))[new] for t, new in enumerate(ids))
