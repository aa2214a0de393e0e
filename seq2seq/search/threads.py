"""Batches that are searched at the same time, each in a thread of its own."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int
) -> list[Result]:
    """The function of each item, in order; computed in several threads, the last items first.

    Each of them has one thread of torch, not the threads that torch has otherwise: a step of search
    has many operations that are too small to be divided. Python waits little, since torch releases
    its lock while it computes.
    """
    threads = min(threads, len(items))
    if threads < 2:
        return [function(item) for item in items]
    of_torch = torch.get_num_threads()
    torch.set_num_threads(1)  # also of all threads that begin from now on
    executor = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        futures = [executor.submit(copy_context().run, function, item) for item in reversed(items)]
        return [future.result() for future in reversed(futures)]
    finally:
        executor.shutdown(cancel_futures=True)
        torch.set_num_threads(of_torch)
