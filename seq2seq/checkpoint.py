"""Checkpoints: directories of tensors and plain values under a SHA-256 manifest; no pickle.

    update-000000500/  model.safetensors  optimizer.safetensors  state.json  MANIFEST.json
                       raw.safetensors where model.safetensors is a moving average

    averaged/           the same without optimizer.safetensors

A checkpoint is written aside and renamed, so it is there whole or not at all, and it is verified
against its manifest before anything in it is used: safetensors alone does not notice damage.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from seq2seq.batch import BatchPosition
from seq2seq.errors import CheckpointError
from seq2seq.files import read_json, replacing, replacing_directory, sha256_of, write_json
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
        shutil.rmtree(path)
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
    verify(path)
    return list(read_json(path / MANIFEST).get("averaged", []))


def load_average(paths: Sequence[Path], model: nn.Module) -> None:
    """Fill a model with the mean of checkpoints' weights, summed in float64."""
    if not paths:
        raise ValueError("no checkpoints to average")
    sums = {
        name: parameter.new_zeros(parameter.shape, dtype=torch.float64, device="cpu")
        for name, parameter in model.named_parameters()
    }
    for path in paths:
        load_weights(path, model)
        for name, parameter in model.named_parameters():
            sums[name] += parameter.detach().cpu().double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(sums[name] / len(paths))


def load_weights(path: Path, model: nn.Module) -> None:
    """Fill a model with a verified checkpoint's weights; names and shapes must agree."""
    _load_weights(path, MODEL, model)


def load_training(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage | None = None,
) -> None:
    """Give all that is trained what it had when a checkpoint was written."""
    load_optimizer(path, model, optimizer)
    _load_weights(path, MODEL, model)
    if average is not None:
        for name, parameter in model.named_parameters():
            average.weights[name].copy_(parameter.detach())
        _load_weights(path, RAW, model)


def _load_weights(path: Path, file: str, model: nn.Module) -> None:
    tensors = _verified_tensors(path, file)
    parameters = dict(model.named_parameters())
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    if shapes != {name: tuple(tensor.shape) for name, tensor in tensors.items()}:
        raise CheckpointError(
            f"{path} holds the weights of another model than its configuration describes",
            hint="the run directory was changed; restore it or train again",
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def load_optimizer(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Give an optimizer the moments it had when the checkpoint was written."""
    tensors = _verified_tensors(path, OPTIMIZER)
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


def _write(
    path: Path,
    tensors: dict[str, dict[str, Tensor]],
    state: TrainingState,
    facts: dict[str, Any] | None = None,
) -> None:
    """A checkpoint with all its files, or none. tensors: file name -> what it holds"""
    with replacing_directory(path) as partial:
        for name, values in tensors.items():
            save_file(values, partial / name, metadata=_metadata())
        write_json(partial / STATE, asdict(state))
        hashes = {name: sha256_of(partial / name) for name in (*tensors, STATE)}
        manifest = {"format_version": FORMAT_VERSION, "sha256": hashes} | (facts or {})
        write_json(partial / MANIFEST, manifest)


def load_state(path: Path) -> TrainingState:
    verify(path)
    return _read_state(path)


def _read_state(path: Path) -> TrainingState:
    try:
        values: dict[str, Any] = read_json(path / STATE)
        values["position"] = BatchPosition(*values["position"])
        if values.get("measured") is not None:
            values["measured"] = Measured(**values["measured"])
        return TrainingState(**values)
    except (ValueError, KeyError, TypeError) as error:
        raise _foreign(path / STATE) from error


def verify(path: Path) -> dict[str, str]:
    """Prove every file to be what was written; returns their SHA-256. Raises CheckpointError."""
    damaged = CheckpointError(
        f"{path} is damaged", hint="use another checkpoint of the run (--checkpoint last or best)"
    )
    try:
        manifest = read_json(path / MANIFEST)
        version, hashes = manifest["format_version"], dict(manifest["sha256"])
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} is not a checkpoint: it has no {MANIFEST}", hint="check the path"
        ) from error
    except (ValueError, KeyError, TypeError, IsADirectoryError) as error:
        raise damaged from error
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version}, this program reads {FORMAT_VERSION}",
            hint="use the version of seq2seq that wrote it",
        )
    needed = {MODEL, STATE} if "averaged" in manifest else {MODEL, OPTIMIZER, STATE}
    if {*hashes} - {RAW} != needed:
        raise damaged
    for name in hashes:
        if not (path / name).is_file() or sha256_of(path / name) != hashes[name]:
            raise CheckpointError(f"{path / name} is damaged", hint=damaged.hint)
    return hashes


def point(folder: Path, name: str, checkpoint: Path) -> None:
    """Let `folder/name` ("best", "last") name a checkpoint beside it."""
    with replacing(folder / name) as partial:
        partial.write_text(checkpoint.name + "\n", encoding="utf-8")


def pointed(folder: Path, name: str) -> Path | None:
    """The checkpoint that a pointer or a plain name stands for; None where there is none."""
    pointer = folder / name
    if pointer.is_file():
        pointer = folder / pointer.read_text(encoding="utf-8").strip()
    return pointer if pointer.is_dir() and pointer.parent == folder else None


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
        state = _read_state(path) if (path / STATE).is_file() else TrainingState()
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

    Those that `best` and `last` name always stay.
    """
    kept = {pointed(folder, "best"), pointed(folder, "last")}
    if keep_best > 1:
        kept |= {*kept_checkpoints(folder, by="best", count=keep_best, metric=metric)}
    if keep_last > 1:
        kept |= {*kept_checkpoints(folder, by="last", count=keep_last, metric=metric)}
    for path in (*folder.glob("update-*"), *folder.glob(".update-*.partial")):
        if path not in kept:
            shutil.rmtree(path)


def end_average(folder: Path, state: TrainingState) -> None:
    """Training goes on after an average was made: it is removed, and `best` names what it was.

    Then a run that is lengthened is the run that was long from the start.
    """
    if pointed(folder, "best") == folder / AVERAGED:
        for path in folder.glob("update-*"):
            if _read_state(path).update == state.best_update and _read_state(path).measured:
                point(folder, "best", path)
    if (folder / AVERAGED).exists() and pointed(folder, "best") != folder / AVERAGED:
        shutil.rmtree(folder / AVERAGED)


def _verified_tensors(path: Path, name: str) -> dict[str, Tensor]:
    if name not in verify(path):
        raise CheckpointError(
            f"{path} has no {name}: training cannot go on from it",
            hint="use a checkpoint that training wrote",
        )
    try:
        with safetensors.safe_open(path / name, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise _foreign(path / name) from error


def _foreign(path: Path) -> CheckpointError:
    """For a file that its manifest vouches for, but that this program cannot have written."""
    return CheckpointError(
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
