"""One trial, in a process of its own: train, translate the test set, measure."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cli.runs.comparison.folder import Result, Score, TestFiles, write_text
from cli.runs.config import RunConfig
from cli.runs.device import choose_device
from cli.runs.directory import RunDirectory
from cli.runs.history import Sample
from cli.runs.progress import PlainReporter, Reporters
from cli.runs.training import train_run
from cli.runs.translator import Translator
from cli.runs.trials import failure_of
from data.token_store import TokenStore
from seq2seq.batch import BOS, EOS, FIRST_BATCH, PAD, Batch, pad_sources
from seq2seq.errors import DivergenceError, ResourceError
from seq2seq.evaluation.alignment import (
    alignment_error_rate,
    merge_pieces,
    parse_pharaoh,
    word_links,
)
from seq2seq.evaluation.quality import score_corpus
from seq2seq.model import EncoderDecoder, count_parameters
from seq2seq.system.files import write_json
from seq2seq.training.events import Finished, TrainingState, Update, Validation
from seq2seq.training.losses import corpus_nats_per_token

SECONDS_BETWEEN_REPORTS = 0.5

Send = Callable[[dict[str, Any]], None]
"""Is given what a trial does at the moment."""


@dataclass(frozen=True)
class Task:
    """What a process needs for a trial."""

    name: str
    system: str
    seed: int
    run: Path
    config: RunConfig
    store: Path
    test: TestFiles
    has_gold: bool
    translations: Path
    result: Path
    device: str
    threads: int


def measure(task: Task, send: Send) -> None:
    """Train as far as that is not done, translate, and write the result.

    Raises Interrupted after a signal, with everything saved.
    """
    device = choose_device(task.device, task.threads)
    store = TokenStore.open(task.store)
    if task.run.exists():
        run = RunDirectory.open(task.run)
    else:
        run = RunDirectory.create(task.run, task.config, store)
    log_file = PlainReporter(lambda line: None, run.log, run.config.training)
    try:
        reporter = Reporters([log_file, _Progress(send)])
        outcome = train_run(run, store, device=device, reporter=reporter)
    except (DivergenceError, ResourceError) as error:
        if not (failure := failure_of(error)):
            raise
        _write(task, status=failure, ended=error.message, parameters=_parameters(run))
        return
    send({"event": "translating"})
    state = outcome.state
    _write(
        task,
        status="complete",
        ended=outcome.reason,
        updates=state.update,
        best_update=state.best_update,
        target_tokens=state.tokens,
        seconds=state.seconds,
        peak_memory=_peak_memory(device),
        **_test_measures(task, run),
    )


def _write(task: Task, **measures: Any) -> None:
    result = Result(system=task.system, seed=task.seed, threads=task.threads, **measures)
    write_json(task.result, result.model_dump(mode="json"))


def _parameters(run: RunDirectory) -> int:
    return count_parameters(run.build_model())


def _test_measures(task: Task, run: RunDirectory) -> dict[str, Any]:
    """Scores of the best checkpoint on the test set, whose translations are written."""
    sources, references = task.test.read()
    translator = Translator.load(run.path, device=task.device)
    began = time.monotonic()
    texts = [each.text for each in translator.translate(sources)]
    seconds = time.monotonic() - began
    write_text(task.translations, texts)
    report = score_corpus(texts, [references], target_language=run.languages[1])
    bleu, chrf, ter = (Score(score=m.score, signature=m.signature) for m in report.metrics)
    assert translator.checkpoint
    return {
        "parameters": count_parameters(translator.model),
        "checkpoint": translator.checkpoint.path.name,
        "model_sha256": translator.provenance["model_sha256"],
        "beam": translator.search.beam,
        "translation_seconds": seconds,
        "test_nats_per_token": _nats_per_token(run, translator.model, sources, references),
        "bleu": bleu,
        "chrf": chrf,
        "ter": ter,
        "aer": _alignment_error(task, translator, sources, references) if task.has_gold else None,
    }


def _nats_per_token(
    run: RunDirectory, model: EncoderDecoder, sources: Sequence[str], references: Sequence[str]
) -> float | None:
    """Nats of the references per target piece, EOS included; pairs with a blank side are left out.

    None where no pair is left.
    """
    source, target = run.tokenizer("source"), run.tokenizer("target")
    tags = [source.tags[run.main_tag]] if run.main_tag else []
    limit = run.config.search.max_source_pieces
    pairs = [
        ([*tags, *source.encode(left)[:limit]], target.encode(right))
        for left, right in zip(sources, references, strict=True)
        if left.strip() and right.strip()
    ]
    if not pairs:
        return None
    pairs.sort(key=lambda pair: max(map(len, pair)))
    size = run.config.search.batch_sentences
    batches = (_batch(pairs[begin : begin + size]) for begin in range(0, len(pairs), size))
    device = next(model.parameters()).device.type
    return corpus_nats_per_token(model, batches, device=device)


def _batch(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Batch:
    width = max(len(target) for _, target in pairs)
    targets = [[BOS, *target, EOS, *[PAD] * (width - len(target))] for _, target in pairs]
    numbers = tuple(range(1, len(pairs) + 1))
    sources = pad_sources([source for source, _ in pairs])
    return Batch(sources, torch.tensor(targets), numbers, FIRST_BATCH)


def _alignment_error(
    task: Task, translator: Translator, sources: Sequence[str], references: Sequence[str]
) -> float | None:
    """AER of attention while the model writes the references; None without attention."""
    if not translator.has_attention:
        return None
    gold = [parse_pharaoh(line) for line in task.test.gold.read_text("utf-8").splitlines()]
    found = []
    for source, reference in zip(sources, references, strict=True):
        alignment = translator.align(source, reference).alignment
        found.append(word_links(merge_pieces(alignment)) if alignment else set())
    return alignment_error_rate(found, gold, gold).aer


def _peak_memory(device: str) -> int | None:
    """Bytes that this process has used at most: of the GPU if it has one, else of the machine."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # not on every system
        return None
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


class _Progress:
    """Reports a training to the process that shows it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._latest = 0.0
        self._began = TrainingState()

    def start(self, model: EncoderDecoder, state: TrainingState) -> None:
        self._began = state

    def update(self, event: Update) -> None:
        if time.monotonic() - self._latest >= SECONDS_BETWEEN_REPORTS:
            self._latest = time.monotonic()
            state = event.state
            seconds = max(state.seconds - self._began.seconds, 1e-9)
            self._send(
                {
                    "event": "update",
                    "update": state.update,
                    "progress": event.progress,
                    "seconds": state.seconds,
                    "tokens_per_second": (state.tokens - self._began.tokens) / seconds,
                }
            )

    def validation(self, event: Validation, samples: Sequence[Sample]) -> None:
        scores = event.measured
        self._send({"event": "validation", "bleu": scores.bleu, "perplexity": scores.perplexity})

    def message(self, line: str) -> None:
        pass

    def finished(self, event: Finished) -> None:
        pass

    def close(self) -> None:
        pass
