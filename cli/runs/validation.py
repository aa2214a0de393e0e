"""Validation during training: perplexity, greedy translations with their scores, and samples."""

from collections.abc import Sequence
from math import isfinite

from cli.runs.directory import RunDirectory
from cli.runs.history import Sample
from cli.runs.interruption import StopRequest
from data.batching import sorted_batches
from data.token_store import TokenStore
from seq2seq.evaluation.attention_shape import AttentionShape, attention_shape
from seq2seq.evaluation.quality import bleu_problem, copied_share, quick_quality
from seq2seq.model import EncoderDecoder
from seq2seq.search.inference import SingleModel
from seq2seq.search.translation import translate_ids
from seq2seq.training.events import ValidationScores
from seq2seq.training.losses import corpus_nats_per_token

SHAPED = 100
"""Sentences, from the start of the validation set, whose attention is summarised."""


class Validator:
    """Scores a model on the validation set of a store.

    Translations are found by greedy search, and scored against the original text as `evaluate`
    does it. `samples` and `attention` are those of the latest validation; `attention` is None for
    a model without it and where nothing is translated.
    """

    def __init__(self, run: RunDirectory, store: TokenStore, *, device: str = "cpu") -> None:
        config = run.config.training
        self.samples: tuple[Sample, ...] = ()
        self.attention: AttentionShape | None = None
        self._metric = config.metric
        self._budget = 2 * config.batch_tokens
        self._search = run.config.search.model_copy(
            update={"beam": 1, "diverse_groups": 1, "sample": False, "coverage_penalty": 0.0}
        )
        self._language = run.languages[1]
        self._tokenizer = run.tokenizer("target")
        self._device = device
        self._valid = store.split("valid")
        self._held_out = config.perplexity_sentences
        self._scored = range(len(self._valid))[: config.validation_sentences]
        self._sampled = spread(len(self._valid), config.samples)
        self._sources, self._references = store.valid_text("source"), store.valid_text("target")

    def metric_problem(self) -> str | None:
        """Why the metric that is to choose the best weights cannot; None where it can."""
        if self._metric != "bleu":
            return None
        return bleu_problem([self._reference(i) for i in self._scored], self._language)

    def measure(self, model: EncoderDecoder, stop: StopRequest) -> ValidationScores:
        """Raises Interrupted between two batches when a stop was requested."""
        batches = sorted_batches(self._valid, budget=self._budget, first=self._held_out)
        held_out = stop.interruptible(batches)
        nats = corpus_nats_per_token(model, held_out, device=self._device)
        if not isfinite(nats):
            return ValidationScores(nats)  # such a model cannot translate
        texts = self._translate(model, sorted({*self._scored, *self._sampled}), stop)
        self.samples = tuple(
            Sample(self._line(i), self._source(i), self._reference(i), texts[i])
            for i in self._sampled
        )
        if not self._scored:
            return ValidationScores(nats)
        hypotheses = [texts[i] for i in self._scored]
        references = [self._reference(i) for i in self._scored]
        sources = [self._source(i) for i in self._scored]
        bleu, chrf, ratio = quick_quality(hypotheses, [references], self._language)
        copied = copied_share(sources, hypotheses, references)
        return ValidationScores(nats, bleu, chrf, ratio, copied, sentences=len(self._scored))

    def _translate(
        self, model: EncoderDecoder, pairs: Sequence[int], stop: StopRequest
    ) -> dict[int, str]:
        """Greedy translations by the index of their pair; that of a blank source is empty."""
        limit, size = self._search.max_source_pieces, self._search.batch_sentences
        sources = {i: self._valid.source(i)[:limit].tolist() for i in pairs}
        by_length = sorted((i for i in pairs if sources[i]), key=lambda i: len(sources[i]))
        texts = dict.fromkeys(pairs, "")
        inference = SingleModel(model, device=self._device)
        weights = []
        for begin in stop.interruptible(range(0, len(by_length), size)):
            chosen = by_length[begin : begin + size]
            found = translate_ids(inference, [sources[i] for i in chosen], self._search)
            for i, (best,) in zip(chosen, found, strict=True):
                texts[i] = self._tokenizer.decode(best.ids)
                if best.weights is not None and i < SHAPED:
                    weights.append(best.weights.double().numpy())
        self.attention = attention_shape(weights)
        return texts

    def _line(self, pair: int) -> int:
        return int(self._valid.lines[pair])

    def _source(self, pair: int) -> str:
        return self._sources[self._line(pair) - 1]

    def _reference(self, pair: int) -> str:
        return self._references[self._line(pair) - 1]


def spread(length: int, count: int) -> tuple[int, ...]:
    """`count` indices below `length`, or all of them: the middles of as many equal parts."""
    count = min(count, length)
    return tuple((2 * part + 1) * length // (2 * count) for part in range(count))
