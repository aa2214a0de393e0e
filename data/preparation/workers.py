"""Worker processes that encode: they come and go without a trace, whatever signal comes."""

import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process, resource_tracker

from data.config import DataConfig
from data.preparation.chunks import Chunk, EncodedChunk, Encoder
from seq2seq.errors import ResourceError

_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def encoded_by_workers(
    chunks: Iterable[Chunk],
    models: tuple[bytes, bytes],
    config: DataConfig,
    *,
    processes: int,
    clean: bool,
) -> Generator[EncodedChunk, None, None]:
    """The chunks as ids, in order, a bounded number of them on the way.

    Raises ResourceError where the system kills a worker.
    """
    with ProcessPoolExecutor(
        processes,
        mp_context=get_context("spawn"),
        initializer=_start_worker,
        initargs=(*models, config),
    ) as pool:
        try:
            window: deque[Future[EncodedChunk]] = deque()
            for chunk in chunks:
                with _interrupts_held():  # a worker may be started for it
                    window.append(pool.submit(_encode_in_worker, chunk, clean))
                if len(window) > 2 * processes:
                    yield window.popleft().result()
            while window:
                yield window.popleft().result()
        except BrokenProcessPool as error:
            raise ResourceError(
                "a process that encodes was killed; systems do so when memory runs out",
                hint="run it again with fewer of them, as in --threads 1",
            ) from error
        except BaseException:
            # Waited for: a worker that is being made finds nothing where its parent has left.
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits while workers are made: a half-made one would die of it with a traceback.

    They inherit the mask, so it never reaches them.
    """
    resource_tracker.ensure_running()  # it lifts the mask when it is started
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


_worker_encoder: Encoder  # of a worker process


def _start_worker(source_model: bytes, target_model: bytes, config: DataConfig) -> None:
    global _worker_encoder
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal sends them to all; the parent decides
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)  # SIGTERM still ends it
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _worker_encoder = Encoder(source_model, target_model, config)


def _leave_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _encode_in_worker(chunk: Chunk, clean: bool) -> EncodedChunk:
    return _worker_encoder.encode(chunk, clean=clean)
