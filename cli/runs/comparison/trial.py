"""One trial, in a process of its own: train, translate the test set, measure."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cli.runs.comparison.folder import Result, Score, TestFiles
from cli.runs.config import RunConfig
from cli.runs.device import choose_device
from cli.runs.directory import RunDirectory
from cli.runs.history import Sample
from cli.runs.output import write_lines
from cli.runs.progress import PlainReporter, Reporters
from cli.runs.training import train_run
from cli.runs.translator import Translator
from cli.runs.trials import SAME_COMMAND, failure_of
from cli.runs.word_links import (
    SHIFTS,
    Linker,
    choose_shift,
    guided_head,
    guided_shift,
)
from data.corpus import SentencePair, read_lines
from data.token_store import TokenStore
from seq2seq.building import WeightsNotDrawn, build_model
from seq2seq.config import ModelConfig
from seq2seq.decoders.lexicon import Entries
from seq2seq.errors import DivergenceError, ResourceError
from seq2seq.evaluation.links import parse_reference_links
from seq2seq.evaluation.quality import score_corpus
from seq2seq.model import EncoderDecoder, count_parameters
from seq2seq.system.files import write_json
from seq2seq.system.out_of_memory import explain_out_of_memory
from seq2seq.system.peak_memory import lifetime_peak
from seq2seq.training.events import Finished, TrainingState, Update, Validation

SECONDS_BETWEEN_REPORTS = 0.5

Send = Callable[[dict[str, Any]], None]
"""Sends an event of a trial to the process that shows it."""


@dataclass(frozen=True)
class Task:
    """A trial, as it is given to a process."""

    name: str
    system: str
    seed: int
    run: Path
    config: RunConfig
    store: Path
    learnt: Path
    test: TestFiles
    has_reference_links: bool
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
    try:
        with explain_out_of_memory("the trial"):
            run = _run_of(task, store)
            log_file = PlainReporter(lambda line: None, run.log, run.config.training)
            outcome = train_run(
                run,
                store,
                device=device,
                reporter=Reporters([log_file, _Progress(send)]),
                continued_by=SAME_COMMAND,
            )
        on_gpu = device.startswith("cuda")
        peak_memory = torch.cuda.max_memory_allocated() if on_gpu else lifetime_peak()
        send({"event": "translating"})
        with explain_out_of_memory("the test set"):
            test_measures = _test_measures(task, run)
    except (DivergenceError, ResourceError) as error:
        if not (failure := failure_of(error)):
            raise
        parameters = parameters_of(task.config.model, store)
        _write(task, status=failure, ended=error.message, parameters=parameters)
        return
    state = outcome.state
    _write(
        task,
        status="complete",
        ended=outcome.reason,
        updates=state.update,
        best_update=state.best_update,
        target_tokens=state.tokens,
        seconds=state.seconds,
        peak_memory=peak_memory,
        **test_measures,
    )


def _run_of(task: Task, store: TokenStore) -> RunDirectory:
    if task.run.exists():
        return RunDirectory.open(task.run)
    return RunDirectory.create(task.run, task.config, store, shared=task.learnt)


def _write(task: Task, **measures: Any) -> None:
    result = Result(system=task.system, seed=task.seed, threads=task.threads, **measures)
    write_json(task.result, result.model_dump(mode="json"))


def untrained_model(
    config: ModelConfig, store: TokenStore, entries: Entries | None = None
) -> EncoderDecoder:
    """The model of a trial on a store. entries: of its lexicon, if it has one"""
    return build_model(
        config,
        source_vocabulary=store.meta["source_vocabulary"],
        target_vocabulary=store.meta["target_vocabulary"],
        joint=store.joint,
        output_ids=None if store.output_ids is None else store.output_ids.tolist(),
        entries=entries,
    )


def parameters_of(config: ModelConfig, store: TokenStore) -> int:
    """The number of parameters of a trial's model; a lexicon has none, so none is learnt."""
    with WeightsNotDrawn():
        return count_parameters(untrained_model(config.model_copy(update={"lexicon": 0}), store))


def _test_measures(task: Task, run: RunDirectory) -> dict[str, Any]:
    """Scores of the best checkpoint on the test set, whose translations are written."""
    sources, references = task.test.read()
    pairs = [SentencePair(*sides) for sides in zip(sources, references, strict=True)]
    translator = Translator.load(run.path, device=task.device)
    began = time.monotonic()
    texts = [each.text for each in translator.translate(sources)]
    seconds = time.monotonic() - began
    write_lines(task.translations, texts)
    report = score_corpus(texts, [references], target_language=run.languages[1])
    bleu, chrf, ter = (Score(score=m.score, signature=m.signature) for m in report.metrics)
    assert translator.checkpoint
    return {
        "parameters": count_parameters(translator.model),
        "checkpoint": translator.checkpoint.path.name,
        "model_sha256": translator.provenance["model_sha256"],
        "beam": translator.search.beam,
        "translation_seconds": seconds,
        "test_nats_per_token": _nats_per_token(translator, pairs),
        "bleu": bleu,
        "chrf": chrf,
        "ter": ter,
        **_alignment_quality(task, translator, pairs),
    }


def _nats_per_token(translator: Translator, pairs: Sequence[SentencePair]) -> float | None:
    """Nats of the references per target piece, EOS included; pairs with a blank side are left out.

    None where no pair is left.
    """
    filled = [pair for pair in pairs if pair.source.strip() and pair.target.strip()]
    scores = translator.score_pairs(filled)
    pieces = sum(len(score.pieces) for score in scores)
    return -sum(score.log_probability for score in scores) / pieces if pieces else None


def _alignment_quality(
    task: Task, translator: Translator, pairs: Sequence[SentencePair]
) -> dict[str, Any]:
    """AER of attention while the model writes the references; nothing without attention or links of
    people. Head and shift are those that guided alignment taught, else the mean and the best shift.
    """
    if not task.has_reference_links or not translator.has_attention:
        return {}
    reference_links = parse_reference_links(
        list(read_lines(task.test.reference_links)),
        name=str(task.test.reference_links),
        sentences=len(pairs),
    )
    config = translator.run_config
    shifts = (guided_shift(config).rows,) if config.training.guided_alignment else SHIFTS
    found = Linker(translator=translator, head=guided_head(config)).links(pairs, shifts)
    shift = choose_shift(found, reference_links, shifts)
    return {"aer": shift.error_rates[shift.rows], "aer_shift": shift.rows}


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
