"""Lines in chunks, which are translated together."""

import queue
import threading
import time
from collections.abc import Iterator
from itertools import islice
from typing import TypeVar

CHUNK = 512  # lines translated together, if so many are available
_MOST_CANDIDATES = 2**13  # of all lines that are translated together, with their weights
_PATIENCE = 0.002  # seconds after the first line of a chunk in which others may join it
Item = TypeVar("Item")


def lines_at_once(candidates: int) -> int:
    """How many lines are translated together that have so many candidates each."""
    return max(1, _MOST_CANDIDATES // candidates)


def fixed_chunks(lines: Iterator[Item], *, size: int = CHUNK) -> Iterator[list[Item]]:
    """Lines or pairs in chunks of `size`; the last may be shorter."""
    while chunk := list(islice(lines, size)):
        yield chunk


def available_chunks(lines: Iterator[Item], *, size: int = CHUNK) -> Iterator[list[Item]]:
    """Lines or pairs in chunks of up to `size`: those that are available, without waiting for more.

    A file is then translated in large batches, while a program that writes a single line into a
    pipe gets its translation at once.
    """
    waiting: queue.Queue[Item | BaseException | None] = queue.Queue(maxsize=4 * size)

    def read() -> None:
        try:
            for line in lines:
                waiting.put(line)
            waiting.put(None)
        except BaseException as error:
            waiting.put(error)  # to be raised where the chunks are used

    threading.Thread(target=read, daemon=True).start()
    ended = False
    while not ended:
        chunk: list[Item] = []
        problem: BaseException | None = None
        until = 0.0
        while len(chunk) < size:
            try:
                left = until - time.monotonic()
                item = waiting.get(timeout=max(left, 0.0) if chunk else None)
            except queue.Empty:
                break
            if item is None or isinstance(item, BaseException):
                ended, problem = True, item
                break
            chunk.append(item)
            if len(chunk) == 1:
                until = time.monotonic() + _PATIENCE
        if chunk:
            yield chunk
        if problem is not None:
            raise problem
