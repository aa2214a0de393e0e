"""Validation during training: perplexity, translations with their scores, and samples."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice, zip_longest
from math import isfinite
from typing import Final, TypeVar

import numpy as np

from cli.runs.directory import RunDirectory
from cli.runs.history import Sample
from cli.runs.interruption import StopRequest, raise_if_any
from data.batching import sorted_batches
from data.token_store import TokenStore
from seq2seq.batch import Batch
from seq2seq.config import TrainingConfig
from seq2seq.evaluation.attention_shape import AttentionShape, attention_shape
from seq2seq.evaluation.quality import bleu_problem, copied_share, quick_quality
from seq2seq.model import EncoderDecoder
from seq2seq.search.hypothesis import Hypothesis
from seq2seq.search.inference import SingleModel
from seq2seq.search.translation import translate_ids
from seq2seq.system.out_of_memory import explain_out_of_memory
from seq2seq.training.events import ValidationScores
from seq2seq.training.losses import batch_nats, nats_per_token
from seq2seq.training.ranks import ONE_RANK, Ranks

Item = TypeVar("Item")
Result = TypeVar("Result")

_NOTHING: Final = object()

SHAPED = 100
"""Sentences, spread evenly over those that are translated, whose attention is summarised."""


class Validator:
    """Scores a model on the validation set of a store.

    Translations are scored against the original text as `evaluate` does it. `samples` and
    `attention` are those of the latest validation; `attention` is None for a model without it and
    where nothing is translated.
    """

    def __init__(
        self,
        run: RunDirectory,
        store: TokenStore,
        *,
        device: str = "cpu",
        ranks: Ranks = ONE_RANK,
    ) -> None:
        """ranks: the processes that share out the batches; all of them get the same scores"""
        config = run.config.training
        self._ranks = ranks
        self.samples: tuple[Sample, ...] = ()
        self.attention: AttentionShape | None = None
        self._metric = config.metric
        self._budget = 2 * config.batch_tokens
        plain = {"diverse_groups": 1, "sample": False, "coverage_penalty": 0.0}
        self._search = run.config.search.model_copy(update={"beam": _beam(config), **plain})
        self._language = run.languages[1]
        self._tokenizer = run.tokenizer("target")
        self._device = device
        self._valid = store.split("valid")
        self._held_out = spread(len(self._valid), config.perplexity_sentences)
        self._scored = spread(len(self._valid), config.validation_sentences)
        self._sampled = spread(len(self._valid), config.samples)
        self._translated = sorted({*self._scored, *self._sampled})
        shaped = spread(len(self._translated), SHAPED)
        self._shaped = frozenset(self._translated[i] for i in shaped)
        self._sources, self._references = store.valid_text("source"), store.valid_text("target")

    def metric_problem(self) -> str | None:
        """Why the metric that is to choose the best weights cannot; None where it can."""
        if self._metric != "bleu":
            return None
        return bleu_problem([self._reference(i) for i in self._scored], self._language)

    @explain_out_of_memory(
        "the translations of a validation",
        hint="lower search.batch_sentences or training.batch_tokens, or the model's sizes",
    )
    def measure(self, model: EncoderDecoder, stop: StopRequest) -> ValidationScores:
        """The scores of a model.

        Raises Interrupted between two batches if a stop was requested, and ResourceError where
        memory runs out.
        """

        def score(batch: Batch) -> tuple[float, int]:
            return batch_nats(model, batch, device=self._device), batch.target_tokens

        batches = sorted_batches(self._valid, budget=self._budget, pairs=self._held_out)
        nats = nats_per_token(self._share_out(score, batches, stop))
        if not isfinite(nats):
            return ValidationScores(nats)  # such a model cannot translate
        texts = self._translate(model, stop)
        self.samples = tuple(
            Sample(self._line(i), self._source(i), self._reference(i), texts[i])
            for i in self._sampled
        )
        if not self._scored:
            return ValidationScores(nats)
        hypotheses = [texts[i] for i in self._scored]
        references = [self._reference(i) for i in self._scored]
        sources = [self._source(i) for i in self._scored]
        bleu, chrf, ratio, copied = self._ranks.of_first(
            lambda: (
                *quick_quality(hypotheses, [references], self._language),
                copied_share(sources, hypotheses, references),
            )
        )
        return ValidationScores(nats, bleu, chrf, ratio, copied, sentences=len(self._scored))

    def _share_out(
        self, work: Callable[[Item], Result], items: Iterable[Item], stop: StopRequest
    ) -> list[Result]:
        """The results for all items, in order; each rank works on every `size`-th of them.

        Raises Interrupted on all ranks when one of them was requested to stop.
        """
        mine = islice(items, self._ranks.rank, None, self._ranks.size)
        done = [work(item) for item in stop.until_requested(mine)]
        found = self._ranks.gather((stop.signal_number, done))
        raise_if_any(number for number, _ in found)
        in_turn = zip_longest(*(theirs for _, theirs in found), fillvalue=_NOTHING)
        return [each for turn in in_turn for each in turn if each is not _NOTHING]

    def _translate(self, model: EncoderDecoder, stop: StopRequest) -> dict[int, str]:
        """Translations by the index of their pair; that of a blank source is empty."""
        limit, size = self._search.max_source_pieces, self._search.batch_sentences
        sources = {i: self._valid.source(i)[:limit].tolist() for i in self._translated}
        by_length = sorted((i for i in sources if sources[i]), key=lambda i: len(sources[i]))
        chunks = [by_length[begin : begin + size] for begin in range(0, len(by_length), size)]
        inference = SingleModel(model, device=self._device)

        def translate(chunk: Sequence[int]) -> list[tuple[int, str, list[list[float]] | None]]:
            found = translate_ids(inference, [sources[i] for i in chunk], self._search)
            return [
                (i, self._tokenizer.decode(best.ids), self._attended(i, best))
                for i, (best,) in zip(chunk, found, strict=True)
            ]

        texts, weights = dict.fromkeys(self._translated, ""), []
        for chunk in self._share_out(translate, chunks, stop):
            for i, text, attended in chunk:
                texts[i] = text
                if attended is not None:
                    weights.append(np.array(attended))
        self.attention = attention_shape(weights)
        return texts

    def _attended(self, pair: int, translation: Hypothesis) -> list[list[float]] | None:
        """The attention weights of a translation, if they are to be summarised."""
        if translation.weights is None or pair not in self._shaped:
            return None
        return translation.weights.double().tolist()

    def _line(self, pair: int) -> int:
        return int(self._valid.lines[pair])

    def _source(self, pair: int) -> str:
        return self._sources[self._line(pair) - 1]

    def _reference(self, pair: int) -> str:
        return self._references[self._line(pair) - 1]


def search_name(config: TrainingConfig) -> str:
    """The search of validations: "greedy" or, for example, "beam 5"."""
    beam = _beam(config)
    return "greedy" if beam == 1 else f"beam {beam}"


def _beam(config: TrainingConfig) -> int:
    return config.validation_beam or 1  # in runs of before the setting


def spread(length: int, count: int | None) -> tuple[int, ...]:
    """`count` indices below `length`, or all of them: the middles of as many equal parts."""
    count = length if count is None else min(count, length)
    return tuple((2 * part + 1) * length // (2 * count) for part in range(count))
