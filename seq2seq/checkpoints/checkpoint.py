"""A checkpoint: a directory of tensors and plain values under a SHA-256 manifest; no pickle.

    update-000000500/  model.safetensors  optimizer.safetensors  state.json  MANIFEST.json
                       raw.safetensors where model.safetensors is a moving average

    averaged/          the same without optimizer.safetensors

A checkpoint is written under another name and then renamed, so that it is there whole or not at
all. Before anything in it is used it is verified against its manifest: safetensors alone does not
notice damage.
"""

import errno
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from seq2seq.batch import BatchPosition
from seq2seq.errors import CheckpointError
from seq2seq.system.files import (
    parse_json,
    read_json,
    replacing_directory,
    saving_tensors,
    sha256_of,
    write_json,
)
from seq2seq.training.events import TrainingState, ValidationScores
from seq2seq.training.moving_average import MovingAverage

FORMAT_VERSION = 1
MANIFEST = "MANIFEST.json"
MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
RAW = "raw.safetensors"
STATE = "state.json"
_OWN_HASH = "manifest_sha256"
_MANIFEST_KEYS = {"format_version", "sha256", "averaged", _OWN_HASH}


class DamagedCheckpointError(CheckpointError):
    """A checkpoint whose files are not those that were written; another one may be whole."""


@dataclass(frozen=True)
class VerifiedCheckpoint:
    """A checkpoint whose files have the hashes that were written; `verify` returns one."""

    path: Path
    hashes: Mapping[str, str]  # file name -> SHA-256
    state: TrainingState
    averaged: tuple[int, ...]  # the updates whose weights were averaged; else empty

    def load_weights(self, model: nn.Module) -> None:
        """Load the weights into a model; raises CheckpointError if names or shapes differ."""
        self._load_parameters(model, MODEL)

    def load_moments(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Load the moments of every parameter into an optimizer."""
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
        """Load model, optimizer and moving average, so that training can go on from here."""
        self.load_moments(model, optimizer)
        self._load_parameters(model, MODEL)
        if average is not None:
            for name, parameter in model.named_parameters():
                average.weights[name].copy_(parameter.detach())
            self._load_parameters(model, RAW)

    def _load_parameters(self, model: nn.Module, file: str) -> None:
        tensors = self._tensors(file)
        parameters = dict(model.named_parameters())
        shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
        if shapes != {name: tuple(tensor.shape) for name, tensor in tensors.items()}:
            raise CheckpointError(
                f"{self.path} has the weights of another model than its configuration describes",
                hint="the run directory was changed; restore it or train again",
            )
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(tensors[name])

    def _tensors(self, file: str) -> dict[str, Tensor]:
        if file not in self.hashes:
            raise CheckpointError(
                f"{self.path} has no {file}: training cannot go on from it",
                hint="use a checkpoint update-...; an average has no optimizer state",
            )
        try:
            with safetensors.safe_open(self.path / file, framework="pt") as stream:
                return {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118
        except FileNotFoundError as error:
            raise CheckpointError(
                f"{self.path} was removed while it was being read", hint="try again"
            ) from error
        except safetensors.SafetensorError as error:
            raise _foreign(self.path / file) from error


def verify(path: Path) -> VerifiedCheckpoint:
    """Compare every file of a checkpoint with the hashes in its manifest.

    Raises DamagedCheckpointError where they differ, so that another checkpoint may be used, and
    CheckpointError for another format version.
    """
    try:
        text = (path / MANIFEST).read_text(encoding="utf-8")
        manifest = parse_json(text)
        version, hashes = manifest["format_version"], dict(manifest["sha256"])
        averaged = tuple(manifest.get("averaged", ()))
        is_intact = manifest.get(_OWN_HASH, _own_hash(manifest)) == _own_hash(manifest)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DamagedCheckpointError(
            f"{path} is not a checkpoint: it has no {MANIFEST}", hint=_USE_ANOTHER
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path) from error
    except OSError as error:
        if error.errno not in _DAMAGE_ERRNOS:
            raise
        raise _damaged(path) from error
    if version != FORMAT_VERSION and is_intact:
        raise CheckpointError(
            f"{path} has format version {version}, this program reads {FORMAT_VERSION}",
            hint="use the version of seq2seq that wrote it",
        )
    needed = {MODEL, STATE} if "averaged" in manifest else {MODEL, OPTIMIZER, STATE}
    is_known = {*manifest} <= _MANIFEST_KEYS and {*hashes} - {RAW} == needed
    if not is_intact or not is_known or not text.endswith("}\n"):
        raise _damaged(path)
    for name in hashes:
        try:
            is_whole = (path / name).is_file() and sha256_of(path / name) == hashes[name]
        except OSError as error:
            if error.errno not in _DAMAGE_ERRNOS:
                raise
            is_whole = False
        if not is_whole:
            raise _damaged(path / name)
    return VerifiedCheckpoint(path, hashes, read_state(path), averaged)


_USE_ANOTHER = (
    "use another checkpoint of the run (--checkpoint last or best); "
    "`seq2seq describe RUN --verify` says which are whole"
)
_DAMAGE_ERRNOS = {errno.EIO, errno.EISDIR, errno.ELOOP}
"""Errors of reading that mean damage; others, such as permissions, the user can put right."""


def _damaged(path: Path) -> DamagedCheckpointError:
    return DamagedCheckpointError(f"{path} is damaged", hint=_USE_ANOTHER)


def load_state(path: Path) -> TrainingState:
    """Verify a checkpoint and return its training state."""
    return verify(path).state


def read_state(path: Path) -> TrainingState:
    """The training state as it is written, without a check of its hash."""
    try:
        values: dict[str, Any] = read_json(path / STATE)
        values["position"] = BatchPosition(*values["position"])
        if values.get("measured") is not None:
            values["measured"] = ValidationScores(**values["measured"])
        return TrainingState(**values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _foreign(path / STATE) from error


def load_average(checkpoints: Sequence[VerifiedCheckpoint], model: nn.Module) -> None:
    """Load the mean of several checkpoints' weights into a model; summed in float64."""
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


def write_checkpoint(
    path: Path,
    model: nn.Module,
    state: TrainingState,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    average: MovingAverage | None = None,
    averaged: Sequence[int] = (),
) -> None:
    """Write a checkpoint with all its files, or none.

    optimizer: None for an average of checkpoints, from which training cannot go on
    average: is written as the model; the weights that training goes on with are written beside it
    averaged: the updates of the checkpoints that were averaged

    Raises OSError.
    """
    tensors = {MODEL: _weights(model)}
    if optimizer is not None:
        tensors[OPTIMIZER] = _moments(model, optimizer)
    if average is not None:
        tensors |= {MODEL: average.weights, RAW: tensors[MODEL]}
    with replacing_directory(path) as partial:
        for name, values in tensors.items():
            with saving_tensors(partial / name, path):
                save_file(values, partial / name, metadata=_metadata())
        write_json(partial / STATE, asdict(state))
        hashes = {name: sha256_of(partial / name) for name in (*tensors, STATE)}
        manifest: dict[str, Any] = {"format_version": FORMAT_VERSION, "sha256": hashes}
        if averaged:
            manifest["averaged"] = list(averaged)
        write_json(partial / MANIFEST, manifest | {_OWN_HASH: _own_hash(manifest)})


def size_of(model: nn.Module, *, average: bool) -> int:
    """Bytes of a checkpoint, about: weights, Adam's two moments, and a moving average if any."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return weights * (4 if average else 3) + 16_384


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter by its name; a tied one has only one."""
    return {name: tensor.detach().contiguous() for name, tensor in model.named_parameters()}


def _moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": value.detach().contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _own_hash(manifest: Mapping[str, Any]) -> str:
    """The hash of a manifest without its own hash."""
    rest = {key: value for key, value in manifest.items() if key != _OWN_HASH}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _foreign(path: Path) -> DamagedCheckpointError:
    """For a file that has the hash in its manifest, but contents that this program never writes."""
    return DamagedCheckpointError(
        f"{path} was not written by seq2seq", hint="use another checkpoint of the run"
    )


def _metadata() -> dict[str, str]:
    """A single key: with several, the bytes that safetensors writes are not reproducible."""
    return {"seq2seq": json.dumps({"format_version": FORMAT_VERSION})}
