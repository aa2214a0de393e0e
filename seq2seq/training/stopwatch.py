"""Where the time of a training goes."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

from seq2seq.model import EncoderDecoder

Result = TypeVar("Result")
Part = Callable[[str], AbstractContextManager[None]]
"""Gives the time inside a `with` a name."""

_NOTHING = nullcontext()


def untimed(name: str) -> AbstractContextManager[None]:
    """The part of a training that nobody times."""
    return _NOTHING


class Stopwatch:
    """Shares out all time since it was made: to the innermost open part, or to "the rest".

    On a GPU work is only handed over where it is called, so that shares tell of a CPU alone.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds = {"the rest": 0.0}
        self._open = ["the rest"]
        self._since = clock()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def watch(self, model: EncoderDecoder) -> None:
        """Tell encoder and decoder from the loss that they are part of, from outside."""
        outer: Any = model  # methods of these two objects are replaced, not those of their classes
        outer.encode = self._within_loss("encoder", model.encode)
        outer.decoder.unroll = self._within_loss("decoder", model.decoder.unroll)

    @property
    def shares(self) -> dict[str, float]:
        """Of all time, largest first; together 1."""
        self._charge()
        total = sum(self._seconds.values()) or 1.0
        ranked = sorted(self._seconds.items(), key=lambda item: -item[1])
        return {name: seconds / total for name, seconds in ranked}

    def describe(self) -> str:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in self.shares.items())
        return f"where the time went: {shares}"

    def _charge(self) -> None:
        now, name = self._clock(), self._open[-1]
        self._seconds[name] = self._seconds.get(name, 0.0) + now - self._since
        self._since = now

    def _within_loss(self, name: str, function: Callable[..., Result]) -> Callable[..., Result]:
        """Validations and first passes that call it keep their time for themselves."""

        def timed(*arguments: Any, **options: Any) -> Result:
            if self._open[-1] != "loss":
                return function(*arguments, **options)
            with self.part(name):
                return function(*arguments, **options)

        return timed
