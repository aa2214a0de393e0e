"""What safety costs a training: the time of a save, and of what makes resuming exact.

    python scripts/benchmark_safety.py STORE --recipe small --updates 240

Trains a recipe for a while as the program does, with six saves, and times what a training without
promises would leave out: its saves (written, synced, hashed, renamed, pruned), the seeding of each
update, and metrics that are flushed with every line. Shares are of the time of updates; that of a
save is for the recipe's own interval.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch

import seq2seq.training.loop as training
from cli.runs.config import read_recipe, resolve
from cli.runs.directory import RunDirectory
from cli.runs.progress import PlainReporter
from cli.runs.recorder import Recorder
from cli.runs.training import train_run
from data.token_store import TokenStore
from seq2seq.training.schedule import VALIDATIONS

SAVES = 6
WARM_UP = 20  # updates that are not timed


class Meter:
    """Seconds of each outermost call of some functions."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._within = False

    @contextmanager
    def timing(self, owner: object, *names: str) -> Iterator[None]:
        """Time the functions of these names of a class or module inside the `with` block."""
        with ExitStack() as patches:
            for name in names:
                timed = self._timed(getattr(owner, name))
                patches.enter_context(patch.object(owner, name, timed))
            yield

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self._within:
                return function(*arguments, **named)
            self._within, began = True, time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self._within = False
                self.seconds.append(time.perf_counter() - began)

        return call


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--updates", type=int, default=240)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="a folder on the disk that runs are kept on")
    chosen = parser.parse_args()
    if chosen.updates // SAVES <= WARM_UP:
        parser.error(f"--updates: at least {SAVES * (WARM_UP + 1)}")
    torch.set_num_threads(chosen.threads)
    with tempfile.TemporaryDirectory(prefix="safety-", dir=chosen.folder) as folder:
        measure(TokenStore.open(chosen.store), Path(folder), chosen.recipe, chosen.updates)


def measure(store: TokenStore, folder: Path, recipe: str, updates: int) -> None:
    usual = resolve(read_recipe(recipe)).training.updates // VALIDATIONS
    often = {"updates": updates, "validate_every": updates // SAVES, "validation_sentences": 10}
    config = resolve(read_recipe(recipe), {"data": store.meta["config"]}, {"training": often})
    run = RunDirectory.create(folder / "run", config, store)
    saves, seeding, lines = Meter(), Meter(), Meter()
    with (
        saves.timing(Recorder, "save", "_save"),
        seeding.timing(training, "seed_update", "sampling_generator"),
        lines.timing(Recorder, "update"),
    ):
        reporter = Marks(lambda line: None, run.log, config.training)
        train_run(run, store, device="cpu", reporter=reporter)
    size = sum(file.stat().st_size for file in run.checkpoint("last").iterdir())
    update = median(reporter.seconds)
    save = median(saves.seconds[1:])  # the first is before training begins
    exact = (sum(seeding.seconds) + sum(lines.seconds)) / updates
    report = (
        f"an update of {recipe}    {1e3 * update:8.1f} ms",
        f"a save of {size / 1e6:.0f} MB      {1e3 * save:8.1f} ms",
        f"  every {usual} updates: {save / (usual * update):8.2%} of training",
        f"exact resume           {1e3 * exact:8.3f} ms an update",
        f"                       {exact / update:8.3%} of training",
    )
    sys.stdout.write("".join(f"{line}\n" for line in report))


class Marks(PlainReporter):
    """Seconds between updates that follow each other with nothing in between."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seconds: list[float] = []
        self._before: float | None = None

    def update(self, event: Any) -> None:
        now = time.perf_counter()
        if self._before is not None and event.state.update > WARM_UP:
            self.seconds.append(now - self._before)
        super().update(event)
        self._before = time.perf_counter()

    def validation(self, event: Any, samples: Any) -> None:
        super().validation(event, samples)
        self._before = None


if __name__ == "__main__":
    main()
