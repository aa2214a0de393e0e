"""Measures how a training's time is shared out among its parts."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

Part = Callable[[str], AbstractContextManager[None]]
"""`with part(name):` charges the time inside to a name."""

_NOTHING = nullcontext()


def untimed(name: str) -> AbstractContextManager[None]:
    """A `Part` that measures nothing."""
    return _NOTHING


class Stopwatch:
    """Charges all time since its creation to the innermost open part, or to "the rest".

    On a GPU, kernels are only launched where they are called: shares are right on a CPU only.
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

    @property
    def shares(self) -> dict[str, float]:
        """The share of each part, largest first; they sum to 1."""
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
