"""Processes that translate chunks of lines beside each other; the results keep their order."""

import queue
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

from cli.runs.translation import Translation
from cli.runs.translator import Line, Origin, Translator
from seq2seq.errors import ConfigError, ResourceError
from seq2seq.system.workers import exit_with_parent, signals_blocked, unblock_signals

_AHEAD = 2  # chunks that each process has been sent and whose results have not been used


class TranslatorProcesses:
    """Each process has a translator of its own, loaded as this one was; with one thread, unless
    its number of threads was given. A context manager: at its end the processes are ended."""

    def __init__(self, translator: Translator, count: int) -> None:
        if translator.device != "cpu":
            raise ConfigError(
                f"--workers {count} is for the CPU, not for {translator.device}",
                hint="leave out --workers, or add --device cpu",
            )
        assert translator.origin is not None, "only of a loaded translator"
        origin = replace(translator.origin, device="cpu", threads=translator.origin.threads or 1)
        self._workers = [_Worker(origin) for _ in range(count)]

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
        sent: queue.SimpleQueue[_Worker | BaseException | None] = queue.SimpleQueue()
        free = threading.Semaphore(_AHEAD * len(self._workers))

        def send() -> None:
            try:
                for number, chunk in enumerate(chunks):
                    free.acquire()
                    worker = self._workers[number % len(self._workers)]
                    worker.send((chunk, alignments, options))
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

    def receive(self) -> list[Translation]:
        try:
            result = self._connection.recv()
        except (EOFError, OSError) as error:
            raise _killed() from error
        if isinstance(result, BaseException):
            raise result
        return result  # type: ignore[no-any-return]


def _killed() -> ResourceError:
    return ResourceError(
        "a worker process was killed; the system does so when memory runs out",
        hint="use fewer --workers",
    )


def _serve(connection: Connection, origin: Origin) -> None:
    """In a worker: answer each request by translations, or by the error that they end in."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal sends these to all; the parent decides
    unblock_signals()
    exit_with_parent()
    translator: Translator | None = None
    while True:
        try:
            lines, alignments, options = connection.recv()
        except EOFError:
            return
        try:
            translator = translator or origin.load()
            found = translator.translate(lines, **options)
            connection.send(found if alignments else [_without_alignments(each) for each in found])
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
