"""The checkpoints of a run: which ones `best` and `last` name, which are kept, and damaged ones.

A damaged one is renamed to `damaged-update-N` when training is resumed, and never removed.
"""

import itertools
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from seq2seq.checkpoints.checkpoint import (
    DamagedCheckpointError,
    VerifiedCheckpoint,
    read_state,
    verify,
    write_checkpoint,
)
from seq2seq.errors import CheckpointError
from seq2seq.system.files import replacing, sync
from seq2seq.training.events import TrainingState, ValidationScores
from seq2seq.training.moving_average import MovingAverage

AVERAGED = "averaged"
"""The name of the checkpoint that is an average of others."""
MIN_KEPT = 2
"""Checkpoints that are always kept, so that there is one to fall back on."""
_MAX_NAME = 4096  # bytes


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: TrainingState,
    average: MovingAverage | None = None,
) -> Path:
    """Write `folder/update-N` whole, or not at all; returns its path.

    Where `best` or `last` names that already, it is `update-N-again`.
    """
    path = folder / f"update-{state.update:09d}"
    if path in (pointed(folder, "best"), pointed(folder, "last")):
        path = path.with_name(f"{path.name}-again")  # kept until its successor is whole
    if path.exists():  # by a run that stopped before `last` named it
        _remove(path)
    write_checkpoint(path, model, state, optimizer=optimizer, average=average)
    return path


def save_average(
    folder: Path, model: nn.Module, state: TrainingState, *, updates: Sequence[int], metric: str
) -> Path:
    """Write `folder/averaged`, the average of the checkpoints of these updates."""
    end_average(folder, state, metric=metric)
    path = folder / AVERAGED
    write_checkpoint(path, model, state, averaged=updates)
    return path


def point(folder: Path, name: str, checkpoint: Path) -> None:
    """Write the pointer `folder/name` ("best" or "last"), which names a checkpoint beside it."""
    with replacing(folder / name) as partial:
        partial.write_text(checkpoint.name + "\n", encoding="utf-8")


def pointed(folder: Path, name: str) -> Path | None:
    """The checkpoint that a pointer names, or that has this name; None where there is none."""
    try:
        pointer = folder / name
        if pointer.is_file():
            with pointer.open("rb") as stream:
                named = stream.read(_MAX_NAME).decode("utf-8").strip()
            pointer = folder / named
        return pointer if pointer.is_dir() and pointer.parent == folder else None
    except (ValueError, OSError):  # odd bytes, or a name that no file can have
        return None


def kept_checkpoints(
    folder: Path, *, by: Literal["best", "last"], count: int, metric: str
) -> list[Path]:
    """The `count` checkpoints that validated best, or last, in the order of their updates.

    One whose weights were not validated, as after an interruption, does not count.
    """
    validated: dict[int, tuple[Path, ValidationScores]] = {}
    named = {pointed(folder, "best"), pointed(folder, "last")}
    for path in sorted(folder.glob("update-*"), key=lambda path: (path in named, path.name)):
        state = _unverified_state(path)
        if state.measured is not None:
            validated[state.update] = path, state.measured  # one per update, preferably a named one
    ranked = sorted(validated, reverse=True)
    if by == "best":
        ranked.sort(key=lambda update: validated[update][1].rank_key(metric), reverse=True)
    return [validated[update][0] for update in sorted(ranked[:count])]


def prune(
    folder: Path, *, keep_best: int = 1, keep_last: int = 1, metric: str = "perplexity"
) -> None:
    """Remove the checkpoints that need not be kept, and partial ones that a crash left behind.

    Those that `best` and `last` name are always kept, and at least MIN_KEPT.
    """
    kept = {pointed(folder, "best"), pointed(folder, "last")}
    if keep_best > 1:
        kept |= {*kept_checkpoints(folder, by="best", count=keep_best, metric=metric)}
    if keep_last > 1:
        kept |= {*kept_checkpoints(folder, by="last", count=keep_last, metric=metric)}
    present = checkpoints_in(folder)
    missing = max(0, MIN_KEPT - len(kept & {*present}))
    kept |= {*[path for path in present if path not in kept][:missing]}
    for path in present:
        if path not in kept:
            _remove(path)
    for path in folder.glob(".*.partial"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _remove(path: Path) -> None:
    """Rename it first, so that a crash in between leaves no damaged checkpoint."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    path.rename(partial)
    shutil.rmtree(partial)


def most_kept(*, keep_best: int, keep_last: int, averaged: bool) -> int:
    """The most checkpoints that are kept at a time."""
    # Beside the last validated ones, `last` may name one that an interruption wrote.
    return max(MIN_KEPT, keep_best + keep_last + (keep_last > 1)) + averaged


def end_average(folder: Path, state: TrainingState, *, metric: str) -> None:
    """Remove the average because training goes on; `best` names the best single checkpoint again.

    A run that is lengthened is then the same as one that was long from the start.
    """
    best = best_single(folder, state, metric=metric)
    if best and pointed(folder, "best") == folder / AVERAGED:
        point(folder, "best", best)
    if (folder / AVERAGED).exists() and pointed(folder, "best") != folder / AVERAGED:
        _remove(folder / AVERAGED)


def best_single(folder: Path, state: TrainingState, *, metric: str) -> Path | None:
    """The checkpoint that is best so far or, where it is lost, the best one that is left; None
    where no validated one is."""
    states = {path: _unverified_state(path) for path in checkpoints_in(folder)}
    validated = [path for path, found in states.items() if found.measured]
    return max(validated, key=lambda each: _rank(states[each], state, metric), default=None)


def averaged_updates(folder: Path) -> list[int]:
    """The updates whose checkpoints `folder/averaged` is the average of; empty without one."""
    path = folder / AVERAGED
    if not path.exists():
        return []
    return list(verify(path).averaged)


def checkpoints_in(folder: Path) -> list[Path]:
    """Every checkpoint that training can go on from, whole or damaged, the newest first."""
    return sorted(folder.glob("update-*"), key=_age, reverse=True)


def newest_whole(
    folder: Path,
    *,
    first: Sequence[str] = (),
    on_damage: Callable[[Path, DamagedCheckpointError], None] = lambda path, error: None,
) -> Iterator[VerifiedCheckpoint]:
    """Verify checkpoints and yield those that are whole: the newest first, `averaged` last.

    What the pointers `first` name comes before all others. `on_damage` is called with each
    checkpoint that is damaged.
    """
    named = [pointed(folder, name) for name in first]
    rest = [pointed(folder, "best"), pointed(folder, AVERAGED)]
    for path in dict.fromkeys([*named, *checkpoints_in(folder), *rest]):
        if path is None:
            continue
        try:
            checkpoint = verify(path)
        except DamagedCheckpointError as error:
            on_damage(path, error)
        else:
            yield checkpoint


def recover(
    folder: Path, *, metric: str, report: Callable[[str], None]
) -> VerifiedCheckpoint | None:
    """The checkpoint to go on from; None where none was ever written.

    That is the one that `last` names or, where it is damaged or gone, the newest whole one. Then
    `last` names it, `best` names the best whole one, and each damaged one is renamed to
    `damaged-...`; `report` is given a line for each of these repairs. All checkpoints are verified,
    so that damage to one that an average needs is found now and not when training ends.

    Raises DamagedCheckpointError where there are checkpoints and none is whole.
    """
    damaged: dict[Path, DamagedCheckpointError] = {}
    whole = {
        checkpoint.path: checkpoint
        for checkpoint in newest_whole(folder, first=["last"], on_damage=damaged.__setitem__)
    }
    trainable = [checkpoint for path, checkpoint in whole.items() if path.name != AVERAGED]
    if not trainable:
        _refuse_damaged(folder, damaged)
        return None
    last = trainable[0]
    named = pointed(folder, "last")
    if named is None and (folder / "last").exists():
        report(f"{folder / 'last'} names no checkpoint that exists")
    if named != last.path:
        point(folder, "last", last.path)
    _repair_best(folder, whole, last, metric=metric, report=report)
    for path, error in damaged.items():
        report(f"{error.message}; it is kept as {_set_aside(path).name}")
    if named != last.path and (named or damaged or last.state.update):
        report(f"going on from {last.path.name}, the newest checkpoint that is whole")
    return last


def _refuse_damaged(folder: Path, damaged: Mapping[Path, DamagedCheckpointError]) -> None:
    """Raise DamagedCheckpointError where checkpoints were written: none of them is whole."""
    for error in damaged.values():
        raise DamagedCheckpointError(error.message, hint=_NONE_WHOLE)
    if (folder / "last").exists():
        raise DamagedCheckpointError(
            f"{folder / 'last'} names no checkpoint, and there is none", hint=_NONE_WHOLE
        )


def _repair_best(
    folder: Path,
    whole: Mapping[Path, VerifiedCheckpoint],
    last: VerifiedCheckpoint,
    *,
    metric: str,
    report: Callable[[str], None],
) -> None:
    """Let `best` name the best whole checkpoint, where it names none or a damaged one."""
    named = pointed(folder, "best")
    if named in whole or not ((folder / "best").exists() or last.state.best_update):
        return
    validated = [
        checkpoint
        for path, checkpoint in whole.items()
        if path.name != AVERAGED and checkpoint.state.measured
    ]
    best = max(validated, key=lambda each: _rank(each.state, last.state, metric), default=last)
    point(folder, "best", best.path)
    if named is None:
        report(f"{folder / 'best'} names no checkpoint that exists")
    report(f"best names {best.path.name} from now on")


_NONE_WHOLE = "no checkpoint of the run is whole: restore one from a copy, or train a new run"


def _age(path: Path) -> tuple[int, int, str]:
    """Sorts checkpoints by update; of two of one update, the validated one was written later."""
    number = path.name.split("-")[1]
    return int(number) if number.isdecimal() else -1, _unverified_state(path).validated, path.name


def _rank(
    state: TrainingState, last: TrainingState, metric: str
) -> tuple[bool, tuple[float, float], int]:
    """Higher is better: the update that the run's state calls best, then what scored best."""
    scores = state.measured.rank_key(metric) if state.measured else (-math.inf, -math.inf)
    return state.update == last.best_update, scores, state.update


def _set_aside(path: Path) -> Path:
    """Rename a damaged checkpoint to `damaged-...`, a name that no search matches."""
    names = (
        f"damaged-{path.name}{end}"
        for end in itertools.chain([""], (f"-{n}" for n in itertools.count(2)))
    )
    aside = next(path.with_name(name) for name in names if not path.with_name(name).exists())
    path.rename(aside)
    sync(path.parent)
    return aside


def _unverified_state(path: Path) -> TrainingState:
    """The state as it is written, without a check of its hash; an empty one if unreadable."""
    try:
        return read_state(path)
    except (CheckpointError, OSError):
        return TrainingState()
