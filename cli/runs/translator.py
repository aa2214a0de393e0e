"""Text in, translations out: the one way from a line to its translation, behind every command."""

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.runs.directory import RunDirectory
from seq2seq.errors import ConfigError
from seq2seq.system.figures import counted

if TYPE_CHECKING:
    from data.tokenization import Tokenizer
    from seq2seq.checkpoints.checkpoint import VerifiedCheckpoint
    from seq2seq.config import SearchConfig
    from seq2seq.evaluation.alignment import Alignment
    from seq2seq.model import EncoderDecoder
    from seq2seq.search.hypothesis import Hypothesis
    from seq2seq.search.inference import SingleModel

CHUNK = 512  # lines translated together, where so many are there


@dataclass(frozen=True)
class Candidate:
    """One way to translate a line."""

    text: str
    score: float  # log-probability under the length penalty
    log_probability: float  # nats
    pieces: tuple[str, ...]
    alignment: "Alignment | None"  # of pieces; None without attention


@dataclass(frozen=True)
class Translation:
    """A line and its translations, best first; none for a blank line."""

    source: str
    candidates: tuple[Candidate, ...]
    truncated: bool  # the source was longer than the model reads

    @property
    def text(self) -> str:
        """The best translation; blank for a blank line."""
        return self.candidates[0].text if self.candidates else ""


class Translator:
    """A trained model with its tokenizers."""

    def __init__(
        self,
        model: "EncoderDecoder",
        source: "Tokenizer",
        target: "Tokenizer",
        search: "SearchConfig",
        *,
        tag: str | None = None,
        device: str = "cpu",
        checkpoint: "VerifiedCheckpoint | None" = None,
    ) -> None:
        """Raises ConfigError for a tag that the sources of training did not have."""
        self.checkpoint = checkpoint  # that the weights came from, if they were loaded
        self.model, self.search = model, search
        self._source, self._target = source, target
        self._tags = [] if tag is None else [_tag_id(source, tag)]  # at the start of every source
        self._device = device

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        checkpoint: str = "best",
        search: dict[str, Any] | None = None,
        tag: str | None = None,
        device: str = "auto",
        threads: int | None = None,
    ) -> "Translator":
        """The model of a run directory; `search` overrides settings of that section.

        Sources get the tag of the main corpus, or another one, or "none". Raises CheckpointError
        for a run that is damaged or has no checkpoint yet, ConfigError for a tag it does not have.
        """
        from cli.runs.config import build_section
        from cli.runs.device import choose_device
        from data.corpora import NO_TAG

        run = RunDirectory.open(path)
        settings = build_section("search", run.config.search.model_dump() | (search or {}))
        verified = run.verified(checkpoint)
        chosen = choose_device(device, threads)
        model = run.build_model()
        verified.load_weights(model)
        return cls(
            model.to(chosen),
            run.tokenizer("source"),
            run.tokenizer("target"),
            settings,
            tag=run.main_tag if tag is None else None if tag == NO_TAG else tag,
            device=chosen,
            checkpoint=verified,
        )

    @property
    def provenance(self) -> dict[str, Any]:
        """The checkpoint that was loaded and the search settings, as JSON values."""
        from seq2seq.checkpoints.checkpoint import MODEL

        assert self.checkpoint is not None, "only of a loaded translator"
        return {
            "checkpoint": self.checkpoint.path.name,
            "model_sha256": self.checkpoint.hashes[MODEL],
            "search": self.search.model_dump(),
        }

    @property
    def has_attention(self) -> bool:
        return self.heads > 0

    @property
    def heads(self) -> int:
        """How many attention heads the model has; 0 without attention."""
        return self.model.decoder.heads

    def require_attention(self, head: int | None = None) -> None:
        """Raises ConfigError where there is no attention, or no such head of it."""
        if not self.has_attention:
            raise ConfigError(
                "this model was trained with attention none: there is no alignment to show",
                hint="train with --attention luong, bahdanau or conditional",
            )
        if head is not None and not 1 <= head <= self.heads:
            raise ConfigError(
                f"there is no head {head}: this model has {counted(self.heads, 'attention head')}",
                hint=f"use 1 to {self.heads}, or leave --head out for the mean of all",
            )

    def translate(
        self, lines: Sequence[str], *, n_best: int = 1, head: int | None = None
    ) -> list[Translation]:
        """A translation for every line, in order; a blank line has none and runs no model.

        Alignments are the mean of all heads, or one `head`, counted from 1.
        """
        from seq2seq.search.translation import translate_ids

        ids = [self._source.encode(line) for line in lines]
        limit = self.search.max_source_pieces
        asked = [i for i, each in enumerate(ids) if each]
        sources = [[*self._tags, *ids[i][:limit]] for i in asked]
        found = translate_ids(self._inference(head), sources, self.search, n_best=n_best)
        candidates: dict[int, tuple[Candidate, ...]] = {
            i: tuple(self._candidate(ids[i][:limit], each) for each in hypotheses)
            for i, hypotheses in zip(asked, found, strict=True)
        }
        return [
            Translation(line, candidates.get(i, ()), truncated=len(ids[i]) > limit)
            for i, line in enumerate(lines)
        ]

    def force(self, source: str, target: str, *, head: int | None = None) -> Translation:
        """A line with the translation that is given for it, as the model reads it."""
        from seq2seq.search.translation import force

        ids, target_ids = self._source.encode(source), self._target.encode(target)
        if not ids or not target_ids:
            return Translation(source, (), truncated=False)
        limit = self.search.max_source_pieces
        hypothesis = force(self._inference(head), [*self._tags, *ids[:limit]], target_ids)
        return Translation(
            source, (self._candidate(ids[:limit], hypothesis),), truncated=len(ids) > limit
        )

    def _inference(self, head: int | None) -> "SingleModel":
        """The model as search sees it, with the weights of one head (from 1) or the mean of all."""
        from seq2seq.search.inference import SingleModel

        return SingleModel(
            self.model,
            head=None if head is None else head - 1,
            tags=len(self._tags),
            device=self._device,
        )

    def _candidate(self, source: Sequence[int], hypothesis: "Hypothesis") -> Candidate:
        from seq2seq.evaluation.alignment import END_OF_SENTENCE, Alignment

        alignment = None
        pieces = tuple(self._target.pieces(hypothesis.ids))
        if hypothesis.weights is not None:
            labels = (*self._source.pieces(source), END_OF_SENTENCE)
            alignment = Alignment(labels, pieces, hypothesis.weights.double().numpy())
        return Candidate(
            self._target.decode(hypothesis.ids),
            hypothesis.score,
            hypothesis.log_probability,
            pieces,
            alignment,
        )


def _tag_id(tokenizer: "Tokenizer", tag: str) -> int:
    if tag in tokenizer.tags:
        return tokenizer.tags[tag]
    raise ConfigError(
        f"there is no tag {tag}",
        hint=f"this model has {', '.join(tokenizer.tags)}"
        if tokenizer.tags
        else "tags are given to corpora at `seq2seq preprocess --corpora`; this model has none",
    )


def available_chunks(lines: Iterator[str], *, size: int = CHUNK) -> Iterator[list[str]]:
    """Lines in chunks of up to `size`: those that are there, without waiting for more to come.

    So a file is translated in large batches, and a program that writes one line into a pipe gets
    its translation at once.
    """
    waiting: queue.Queue[str | BaseException | None] = queue.Queue(maxsize=4 * size)

    def read() -> None:
        try:
            for line in lines:
                waiting.put(line)
            waiting.put(None)
        except BaseException as error:
            waiting.put(error)  # raised to whoever takes the chunks

    threading.Thread(target=read, daemon=True).start()
    ended = False
    while not ended:
        chunk: list[str] = []
        problem: BaseException | None = None
        while len(chunk) < size:
            try:
                item = waiting.get(timeout=0.02 if chunk else None)
            except queue.Empty:
                break
            if item is None or isinstance(item, BaseException):
                ended, problem = True, item
                break
            chunk.append(item)
        if chunk:
            yield chunk
        if problem is not None:
            raise problem
