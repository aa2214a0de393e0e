"""Checkpoints: directories of tensors and plain values under a SHA-256 manifest; no pickle.

    update-000000500/  model.safetensors  optimizer.safetensors  state.json  MANIFEST.json
                       raw.safetensors where model.safetensors is a moving average

    averaged/           the same without optimizer.safetensors

A checkpoint is written aside and renamed, so it is there whole or not at all, and it is verified
against its manifest before anything in it is used: safetensors alone does not notice damage. One
that is damaged is set aside when training goes on, as `damaged-update-N`, and never removed.
"""

import errno
import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from seq2seq.batch import BatchPosition
from seq2seq.errors import CheckpointError
from seq2seq.files import (
    parse_json,
    read_json,
    replacing,
    replacing_directory,
    sha256_of,
    sync,
    write_json,
)
from seq2seq.moving_average import MovingAverage
from seq2seq.training import Measured, TrainingState

FORMAT_VERSION = 1
MANIFEST = "MANIFEST.json"
MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
RAW = "raw.safetensors"
STATE = "state.json"
AVERAGED = "averaged"
"""The name of the checkpoint that is made of others."""
_LONGEST_NAME = 4096  # bytes
FEWEST = 2
"""Checkpoints that are always kept, once there are as many: one to fall back on."""
_OWN_HASH = "manifest_sha256"
_MANIFEST_KEYS = {"format_version", "sha256", "averaged", _OWN_HASH}


class DamagedCheckpointError(CheckpointError):
    """A checkpoint that is not what was written; another one may do."""


@dataclass(frozen=True)
class VerifiedCheckpoint:
    """A checkpoint all of whose files were found to be what was written; made by `verify`."""

    path: Path
    hashes: Mapping[str, str]  # file name -> SHA-256
    state: TrainingState
    averaged: tuple[int, ...]  # the updates that an average was made of

    def load_weights(self, model: nn.Module) -> None:
        """Fill a model; names and shapes must agree."""
        self._fill(model, MODEL)

    def load_moments(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Give an optimizer the moments it had when the checkpoint was written."""
        tensors = self._tensors(OPTIMIZER)
        for name, parameter in model.named_parameters():
            moments = {
                key: tensors[f"{name}/{key}"]
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"{name}/{key}" in tensors
            }
            if moments:
                optimizer.state[parameter] = {
                    key: value.to(parameter.device) for key, value in moments.items()
                }

    def load_training(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: MovingAverage | None = None,
    ) -> None:
        """Give all that is trained what it had when the checkpoint was written."""
        self.load_moments(model, optimizer)
        self._fill(model, MODEL)
        if average is not None:
            for name, parameter in model.named_parameters():
                average.weights[name].copy_(parameter.detach())
            self._fill(model, RAW)

    def _fill(self, model: nn.Module, file: str) -> None:
        tensors = self._tensors(file)
        parameters = dict(model.named_parameters())
        shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
        if shapes != {name: tuple(tensor.shape) for name, tensor in tensors.items()}:
            raise CheckpointError(
                f"{self.path} holds the weights of another model than its configuration describes",
                hint="the run directory was changed; restore it or train again",
            )
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(tensors[name])

    def _tensors(self, name: str) -> dict[str, Tensor]:
        if name not in self.hashes:
            raise CheckpointError(
                f"{self.path} has no {name}: training cannot go on from it",
                hint="use a checkpoint that training wrote",
            )
        try:
            with safetensors.safe_open(self.path / name, framework="pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except FileNotFoundError as error:
            raise CheckpointError(
                f"{self.path} was removed while it was read", hint="try again"
            ) from error
        except safetensors.SafetensorError as error:
            raise _foreign(self.path / name) from error


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: TrainingState,
    average: MovingAverage | None = None,
) -> Path:
    """Write `folder/update-N` whole, or not at all; returns its path.

    With a moving average that is what a checkpoint has for its model; the weights that training
    goes on with lie beside it.
    """
    path = folder / f"update-{state.update:09d}"
    if path in (pointed(folder, "best"), pointed(folder, "last")):
        path = path.with_name(f"{path.name}-again")  # what is pointed at outlives its successor
    if path.exists():  # left by a run that ended between writing it and noting it down
        _remove(path)
    tensors = {MODEL: _weights(model), OPTIMIZER: _moments(model, optimizer)}
    if average is not None:
        tensors |= {MODEL: average.weights, RAW: tensors[MODEL]}
    _write(path, tensors, state)
    return path


def save_average(
    folder: Path, model: nn.Module, state: TrainingState, *, updates: Sequence[int]
) -> Path:
    """Write `folder/averaged`, of checkpoints of these updates; it can be read, not trained on."""
    end_average(folder, state)
    path = folder / AVERAGED
    _write(path, {MODEL: _weights(model)}, state, {"averaged": list(updates)})
    return path


def averaged_updates(folder: Path) -> list[int]:
    """The updates whose checkpoints `folder/averaged` was made of; none where it is not."""
    path = folder / AVERAGED
    if not path.exists():
        return []
    return list(verify(path).averaged)


def load_average(checkpoints: Sequence[VerifiedCheckpoint], model: nn.Module) -> None:
    """Fill a model with the mean of checkpoints' weights, summed in float64."""
    if not checkpoints:
        raise ValueError("no checkpoints to average")
    sums = {
        name: parameter.new_zeros(parameter.shape, dtype=torch.float64, device="cpu")
        for name, parameter in model.named_parameters()
    }
    for each in checkpoints:
        each.load_weights(model)
        for name, parameter in model.named_parameters():
            sums[name] += parameter.detach().cpu().double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(sums[name] / len(checkpoints))


def load_weights(path: Path, model: nn.Module) -> None:
    """Verify a checkpoint and fill a model with its weights."""
    verify(path).load_weights(model)


def load_training(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage | None = None,
) -> None:
    """Verify a checkpoint and give all that is trained what it had."""
    verify(path).load_training(model, optimizer, average)


def load_optimizer(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Verify a checkpoint and give an optimizer its moments."""
    verify(path).load_moments(model, optimizer)


def _write(
    path: Path,
    tensors: dict[str, dict[str, Tensor]],
    state: TrainingState,
    facts: dict[str, Any] | None = None,
) -> None:
    """A checkpoint with all its files, or none. tensors: file name -> what it holds"""
    with replacing_directory(path) as partial:
        for name, values in tensors.items():
            try:
                save_file(values, partial / name, metadata=_metadata())
            except safetensors.SafetensorError as error:  # what Rust makes of a full disk
                raise _as_os_error(error, path) from error
        write_json(partial / STATE, asdict(state))
        hashes = {name: sha256_of(partial / name) for name in (*tensors, STATE)}
        manifest = {"format_version": FORMAT_VERSION, "sha256": hashes} | (facts or {})
        write_json(partial / MANIFEST, manifest | {_OWN_HASH: _own_hash(manifest)})


def _as_os_error(error: safetensors.SafetensorError, path: Path) -> OSError:
    number = re.search(r"os error (\d+)", str(error))
    code = int(number.group(1)) if number else errno.EIO
    return OSError(code, os.strerror(code), str(path))


def _own_hash(manifest: Mapping[str, Any]) -> str:
    """Of all that a manifest says, this hash left out."""
    said = {key: value for key, value in manifest.items() if key != _OWN_HASH}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def load_state(path: Path) -> TrainingState:
    """Verify a checkpoint and tell where training stood."""
    return verify(path).state


def _read_state(path: Path) -> TrainingState:
    try:
        values: dict[str, Any] = read_json(path / STATE)
        values["position"] = BatchPosition(*values["position"])
        if values.get("measured") is not None:
            values["measured"] = Measured(**values["measured"])
        return TrainingState(**values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _foreign(path / STATE) from error


def _state_if_any(path: Path) -> TrainingState:
    """As it is written, not verified; for what cannot be read, that of a run not begun."""
    try:
        return _read_state(path)
    except (CheckpointError, OSError):
        return TrainingState()


def verify(path: Path) -> VerifiedCheckpoint:
    """Prove every file to be what was written, once for all that is read from it.

    Raises DamagedCheckpointError for what another checkpoint can stand in for, and
    CheckpointError for one of another format version.
    """
    try:
        text = (path / MANIFEST).read_text(encoding="utf-8")
        manifest = parse_json(text)
        version, hashes = manifest["format_version"], dict(manifest["sha256"])
        averaged = tuple(manifest.get("averaged", ()))
        sound = manifest.get(_OWN_HASH, _own_hash(manifest)) == _own_hash(manifest)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DamagedCheckpointError(
            f"{path} is not a checkpoint: it has no {MANIFEST}", hint=_ANOTHER
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path) from error
    except OSError as error:
        if error.errno not in _UNREADABLE:
            raise
        raise _damaged(path) from error
    if version != FORMAT_VERSION and sound:
        raise CheckpointError(
            f"{path} has format version {version}, this program reads {FORMAT_VERSION}",
            hint="use the version of seq2seq that wrote it",
        )
    needed = {MODEL, STATE} if "averaged" in manifest else {MODEL, OPTIMIZER, STATE}
    known = {*manifest} <= _MANIFEST_KEYS and {*hashes} - {RAW} == needed
    if not sound or not known or not text.endswith("}\n"):
        raise _damaged(path)
    for name in hashes:
        try:
            whole = (path / name).is_file() and sha256_of(path / name) == hashes[name]
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            whole = False
        if not whole:
            raise _damaged(path / name)
    return VerifiedCheckpoint(path, hashes, _read_state(path), averaged)


_ANOTHER = (
    "use another checkpoint of the run (--checkpoint last or best); "
    "`seq2seq describe RUN --verify` says which are whole"
)
_UNREADABLE = {errno.EIO, errno.EISDIR, errno.ELOOP}
"""What damage makes of reading; other troubles, such as permissions, are for the user to end."""


def _damaged(path: Path) -> DamagedCheckpointError:
    return DamagedCheckpointError(f"{path} is damaged", hint=_ANOTHER)


def point(folder: Path, name: str, checkpoint: Path) -> None:
    """Let `folder/name` ("best", "last") name a checkpoint beside it."""
    with replacing(folder / name) as partial:
        partial.write_text(checkpoint.name + "\n", encoding="utf-8")


def pointed(folder: Path, name: str) -> Path | None:
    """The checkpoint that a pointer or a plain name stands for; None where there is none."""
    try:
        pointer = folder / name
        if pointer.is_file():
            with pointer.open("rb") as stream:
                named = stream.read(_LONGEST_NAME).decode("utf-8").strip()
            pointer = folder / named
        return pointer if pointer.is_dir() and pointer.parent == folder else None
    except (ValueError, OSError):  # odd bytes, or a name that no file can have
        return None


def recover(folder: Path, *, metric: str, tell: Callable[[str], None]) -> VerifiedCheckpoint | None:
    """The checkpoint to go on from; None where there never was one.

    That is what `last` names or, where that is damaged or gone, the newest that is whole. Then
    `last` names it, `best` names the best that is whole, and what was found damaged is told and
    set aside. Raises DamagedCheckpointError where there are checkpoints and none is whole.
    """
    found = dict[Path, VerifiedCheckpoint | None]()
    problems: dict[Path, str] = {}
    told: DamagedCheckpointError | None = None

    def whole(path: Path) -> VerifiedCheckpoint | None:
        nonlocal told
        if path not in found:
            try:
                found[path] = verify(path)
            except DamagedCheckpointError as error:
                found[path], problems[path], told = None, error.message, told or error
        return found[path]

    there = sorted(folder.glob("update-*"), key=_age, reverse=True)  # the newest first
    named = pointed(folder, "last")
    last = whole(named) if named else None
    if last is None:
        last = next((each for path in there if (each := whole(path))), None)
    if last is None:
        if told is None and not (folder / "last").exists():
            return None
        raise DamagedCheckpointError(
            told.message if told else f"{folder / 'last'} names no checkpoint, and there is none",
            hint="no checkpoint of the run is whole: restore one from a copy, or train a new run",
        )
    for path in there:  # what is kept for an average, too, is found damaged now and not at the end
        whole(path)
    if named is None and (folder / "last").exists():
        tell(f"{folder / 'last'} names no checkpoint that is there")
    if named != last.path:
        point(folder, "last", last.path)
    best = pointed(folder, "best")
    validated = (folder / "best").exists() or last.state.best_update
    if validated and (best is None or whole(best) is None):
        candidates = [each for path in there if (each := whole(path)) and each.state.measured]
        standing = max(candidates, key=lambda each: _merit(each, last, metric), default=last)
        point(folder, "best", standing.path)
        if best is None:
            tell(f"{folder / 'best'} names no checkpoint that is there")
        tell(f"best names {standing.path.name} from now on")
    if (folder / AVERAGED).exists():
        whole(folder / AVERAGED)
    for path, problem in problems.items():
        tell(f"{problem}; it is kept as {_set_aside(path).name}")
    if named != last.path and (named or problems or last.state.update):
        tell(f"going on from {last.path.name}, the newest checkpoint that is whole")
    return last


def _age(path: Path) -> tuple[int, int, str]:
    """Of two checkpoints of one update, that which was validated is the later one."""
    number = path.name.split("-")[1]
    return int(number) if number.isdecimal() else -1, _state_if_any(path).validated, path.name


def _merit(
    checkpoint: VerifiedCheckpoint, last: VerifiedCheckpoint, metric: str
) -> tuple[bool, tuple[float, float], int]:
    """The best of a run is what its state says, or else what was measured best."""
    state = checkpoint.state
    standing = state.measured.standing(metric) if state.measured else (-float("inf"),) * 2
    return state.update == last.state.best_update, standing, state.update


def _set_aside(path: Path) -> Path:
    """Give a damaged checkpoint a name that nothing looks for."""
    names = (
        f"damaged-{path.name}{end}"
        for end in itertools.chain([""], (f"-{n}" for n in itertools.count(2)))
    )
    aside = next(path.with_name(name) for name in names if not path.with_name(name).exists())
    path.rename(aside)
    sync(path.parent)
    return aside


def kept_checkpoints(
    folder: Path, *, by: Literal["best", "last"], count: int, metric: str
) -> list[Path]:
    """The `count` checkpoints that validated best, or last, in the order of their updates.

    A checkpoint of weights that were never validated, as an interruption makes one, is none of
    them.
    """
    validated: dict[int, tuple[Path, Measured]] = {}
    named = {pointed(folder, "best"), pointed(folder, "last")}
    for path in sorted(folder.glob("update-*"), key=lambda path: (path in named, path.name)):
        state = _state_if_any(path)
        if state.measured is not None:
            validated[state.update] = path, state.measured  # one an update, a named one if any
    ranked = sorted(validated, reverse=True)
    if by == "best":
        ranked.sort(key=lambda update: validated[update][1].standing(metric), reverse=True)
    return [validated[update][0] for update in sorted(ranked[:count])]


def prune(
    folder: Path, *, keep_best: int = 1, keep_last: int = 1, metric: str = "perplexity"
) -> None:
    """Remove checkpoints that are not to be kept, and what a crash left of one.

    Those that `best` and `last` name always stay, and where they are one, the newest beside it.
    """
    kept = {pointed(folder, "best"), pointed(folder, "last")}
    if keep_best > 1:
        kept |= {*kept_checkpoints(folder, by="best", count=keep_best, metric=metric)}
    if keep_last > 1:
        kept |= {*kept_checkpoints(folder, by="last", count=keep_last, metric=metric)}
    there = sorted(folder.glob("update-*"), key=_age, reverse=True)
    short = max(0, FEWEST - len(kept & {*there}))
    kept |= {*[path for path in there if path not in kept][:short]}
    for path in there:
        if path not in kept:
            _remove(path)
    for path in folder.glob(".*.partial"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _remove(path: Path) -> None:
    """Under another name first: what a crash leaves of it is no damaged checkpoint."""
    gone = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(gone, ignore_errors=True)
    path.rename(gone)
    shutil.rmtree(gone)


def most_kept(*, keep_best: int, keep_last: int, averaged: bool) -> int:
    """How many checkpoints may lie there between two saves."""
    # Beside the last that were validated, `last` may name one of an interruption.
    return max(FEWEST, keep_best + keep_last + (keep_last > 1)) + averaged


def size_of(model: nn.Module, *, average: bool) -> int:
    """Bytes of a checkpoint, closely: weights, perhaps averaged ones, and two moments of Adam."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return weights * (4 if average else 3) + 16_384


def end_average(folder: Path, state: TrainingState) -> None:
    """Training goes on after an average was made: it is removed, and `best` names what it was.

    Then a run that is lengthened is the run that was long from the start.
    """
    if pointed(folder, "best") == folder / AVERAGED:
        for path in folder.glob("update-*"):
            found = _state_if_any(path)
            if found.update == state.best_update and found.measured:
                point(folder, "best", path)
    if (folder / AVERAGED).exists() and pointed(folder, "best") != folder / AVERAGED:
        _remove(folder / AVERAGED)


def _foreign(path: Path) -> DamagedCheckpointError:
    """For a file that its manifest vouches for, but that this program cannot have written."""
    return DamagedCheckpointError(
        f"{path} was not written by seq2seq", hint="use another checkpoint of the run"
    )


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter once: tied ones have one name."""
    return {name: tensor.detach().contiguous() for name, tensor in model.named_parameters()}


def _moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": value.detach().contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _metadata() -> dict[str, str]:
    """One key alone: with several, safetensors' bytes are not reproducible."""
    return {"seq2seq": json.dumps({"format_version": FORMAT_VERSION})}
