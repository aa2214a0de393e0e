"""Worker processes that encode; no signal leaves one behind or makes one print a traceback."""

import signal
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from data.config import DataConfig
from data.preparation.chunks import Chunk, EncodedChunk, TextEncoder
from data.tokenization import PieceIds
from seq2seq.errors import ResourceError
from seq2seq.system.workers import exit_with_parent, signals_blocked, unblock_signals


def encode_in_workers(
    chunks: Iterable[Chunk],
    models: tuple[bytes, bytes],
    config: DataConfig,
    output_ids: PieceIds | None,
    *,
    processes: int,
    clean: bool,
) -> Generator[EncodedChunk, None, None]:
    """Encode chunks, in order; only a few are in memory at a time.

    Raises ResourceError where the system kills a worker.
    """
    with ProcessPoolExecutor(
        processes,
        mp_context=get_context("spawn"),
        initializer=_start_worker,
        initargs=(*models, config, output_ids),
    ) as pool:
        try:
            window: deque[Future[EncodedChunk]] = deque()
            for chunk in chunks:
                with signals_blocked():  # a worker may be started for it
                    window.append(pool.submit(_encode_in_worker, chunk, clean))
                if len(window) > 2 * processes:
                    yield window.popleft().result()
            while window:
                yield window.popleft().result()
        except BrokenProcessPool as error:
            raise ResourceError(
                "a worker process was killed; the system does so when memory runs out",
                hint="run it again with fewer processes, as in --threads 1",
            ) from error
        except BaseException:
            # Wait for the workers: one that is starting fails if its parent has gone.
            pool.shutdown(cancel_futures=True)
            raise


_encoder: TextEncoder  # set in worker processes only


def _start_worker(
    source_model: bytes, target_model: bytes, config: DataConfig, output_ids: PieceIds | None
) -> None:
    global _encoder
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(
            number, signal.SIG_IGN
        )  # a terminal sends these to all processes; the parent decides
    unblock_signals()
    exit_with_parent()
    _encoder = TextEncoder(source_model, target_model, config, output_ids)


def _encode_in_worker(chunk: Chunk, clean: bool) -> EncodedChunk:
    return _encoder.encode(chunk, clean=clean)
