"""Processes that translate or score chunks at the same time; the results keep their order."""

import queue
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from cli.runs.translation import PairScore, Translation
from cli.runs.translator import Line, Origin, Translator
from data.corpus import SentencePair
from seq2seq.errors import ResourceError
from seq2seq.system.workers import exit_with_parent, signals_blocked, unblock_signals

_AHEAD = 2  # chunks that each process has been sent and whose results have not been used
Result = TypeVar("Result")


class TranslatorProcesses:
    """Each process has a translator of its own, loaded as this one was: on the CPU with one thread,
    unless its number of threads was given, or on the GPU whose turn it is. A context manager: at
    its end the processes are ended."""

    def __init__(self, translator: Translator, count: int) -> None:
        assert translator.origin is not None, "only of a loaded translator"
        origin = replace(translator.origin, threads=translator.origin.threads or 1)
        devices = devices_of(translator.device, count)
        self._workers = [_Worker(replace(origin, device=device)) for device in devices]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()

    def translate(
        self, chunks: Iterable[Sequence[Line]], *, alignments: bool = False, **options: Any
    ) -> Iterator[list[Translation]]:
        """The translations of each chunk, in order; only a few chunks are in memory at a time.

        alignments: whether candidates keep theirs
        options: of `Translator.translate`

        Raises what `chunks` and `Translator.translate` raise, and ResourceError where the system
        kills a process.
        """
        return self._results(_Translating(chunk, alignments, options) for chunk in chunks)

    def score_pairs(self, chunks: Iterable[Sequence[SentencePair]]) -> Iterator[list[PairScore]]:
        """The scores of each chunk of pairs, in order; only a few chunks are in memory at a time.

        Raises what `chunks` and `Translator.score_pairs` raise, and ResourceError where the system
        kills a process.
        """
        return self._results(_Scoring(chunk) for chunk in chunks)

    def _results(self, requests: "Iterable[_Request[Result]]") -> Iterator[list[Result]]:
        sent: queue.SimpleQueue[_Worker | BaseException | None] = queue.SimpleQueue()
        free = threading.Semaphore(_AHEAD * len(self._workers))

        def send() -> None:
            try:
                for number, request in enumerate(requests):
                    free.acquire()
                    worker = self._workers[number % len(self._workers)]
                    worker.send(request)
                    sent.put(worker)
                sent.put(None)
            except BaseException as error:
                sent.put(error)  # to be raised where the results are used

        threading.Thread(target=send, daemon=True).start()
        while (worker := sent.get()) is not None:
            if isinstance(worker, BaseException):
                raise worker
            yield worker.receive()
            free.release()


def devices_of(device: str, count: int) -> list[str]:
    """The devices of so many processes: the GPUs in turn, from the one that a translator is on."""
    if device == "cpu":
        return [device] * count
    import torch

    first, gpus = int(device.partition(":")[2] or 0), torch.cuda.device_count()
    return [f"cuda:{(first + number) % gpus}" for number in range(count)]


class _Request(Protocol[Result]):
    """A message to a process."""

    def answer(self, translator: Translator) -> list[Result]: ...


@dataclass(frozen=True)
class _Translating:
    """Lines to translate; `options` are those of `Translator.translate`."""

    lines: Sequence[Line]
    alignments: bool
    options: dict[str, Any]

    def answer(self, translator: Translator) -> list[Translation]:
        found = translator.translate(self.lines, **self.options)
        return found if self.alignments else [_without_alignments(each) for each in found]


@dataclass(frozen=True)
class _Scoring:
    """Pairs whose targets are scored."""

    pairs: Sequence[SentencePair]

    def answer(self, translator: Translator) -> list[PairScore]:
        return translator.score_pairs(self.pairs)


class _Worker:
    """A process, and the pipe to it."""

    def __init__(self, origin: Origin) -> None:
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_serve, args=(theirs, origin), daemon=True
        )
        with signals_blocked():
            self.process.start()
        theirs.close()

    def send(self, request: object) -> None:
        try:
            self._connection.send(request)
        except OSError as error:
            raise _killed() from error

    def receive(self) -> list[Any]:
        try:
            result = self._connection.recv()
        except (EOFError, OSError) as error:
            raise _killed() from error
        if isinstance(result, BaseException):
            raise result
        return list(result)


def _killed() -> ResourceError:
    return ResourceError(
        "a worker process was killed; the system does so when memory runs out",
        hint="use fewer --workers",
    )


def _serve(connection: Connection, origin: Origin) -> None:
    """In a worker: answer each request by its results, or by the error that they end in."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal sends these to all; the parent decides
    unblock_signals()
    exit_with_parent()
    translator: Translator | None = None
    while True:
        try:
            request: _Request[object] = connection.recv()
        except EOFError:
            return
        try:
            translator = translator or origin.load()
            connection.send(request.answer(translator))
        except Exception as error:
            _send_error(connection, error)


def _without_alignments(translation: Translation) -> Translation:
    candidates = tuple(replace(each, alignment=None) for each in translation.candidates)
    return replace(translation, candidates=candidates)


def _send_error(connection: Connection, error: Exception) -> None:
    try:
        connection.send(error)
    except Exception:  # such an error cannot be sent
        connection.send(RuntimeError(f"{type(error).__name__}: {error}"))
