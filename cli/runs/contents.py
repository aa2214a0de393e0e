"""Contents of a token store, run directory or checkpoint, as JSON values."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

from cli.runs.directory import CONFIG, RunDirectory
from cli.runs.history import scores_by_name
from cli.runs.preset import preset_names
from data.token_store import META, TokenStore
from seq2seq.checkpoints.checkpoint import MANIFEST, MODEL, verify
from seq2seq.checkpoints.folder import pointed
from seq2seq.errors import CheckpointError
from seq2seq.model import count_parameters

FolderType: TypeAlias = Literal["token store", "run", "checkpoint"]


def folder_type(path: Path) -> FolderType:
    """Whether a folder is a token store, a run or a checkpoint.

    Raises CheckpointError for any other folder.
    """
    if (path / META).is_file():
        return "token store"
    if (path / CONFIG).is_file():
        return "run"
    if (path / MANIFEST).is_file():
        return "checkpoint"
    raise CheckpointError(
        f"{path} is neither a token store, nor a run directory, nor a checkpoint",
        hint="`seq2seq preprocess` creates stores, `seq2seq train` runs; the presets are "
        + ", ".join(preset_names()),
    )


def contents_of(path: Path) -> dict[str, Any]:
    """Sizes, hashes, settings and scores; raises CheckpointError if a checkpoint is damaged."""
    kind = folder_type(path)
    contents = {"token store": _of_store, "run": _of_run, "checkpoint": _of_checkpoint}
    return {"kind": kind, **contents[kind](path)}


def _of_store(path: Path) -> dict[str, Any]:
    store = TokenStore.open(path)
    splits = {
        name: {
            "pairs": split["pairs"],
            "pieces": split["tokens"],
            "read": split["cleaning"]["read"],
            "dropped": split["cleaning"]["reasons"],
        }
        for name, split in store.meta["splits"].items()
    }
    return {
        "path": str(path),
        "source_language": store.languages[0],
        "target_language": store.languages[1],
        "source_vocabulary": store.meta["source_vocabulary"],
        "target_vocabulary": store.meta["target_vocabulary"],
        "output_pieces": _output_pieces(store.meta),
        "splits": splits,
        "corpora": {
            corpus.name: {"pairs": len(corpus.pairs), "weight": corpus.weight, "tag": corpus.tag}
            for corpus in store.corpora()
        },
        "choice": store.meta.get("choice", {}),
        "links": {key: value for key, value in (store.links or {}).items() if key != "sha256"},
        "inputs": store.meta["inputs"],
        "sha256": store.sha256,
        "config": {"data": store.config.model_dump()},
    }


def _of_run(path: Path) -> dict[str, Any]:
    run = RunDirectory.open(path)
    checkpoints = {
        name: _of_checkpoint(checkpoint)
        for name in ("best", "last")
        if (checkpoint := pointed(run.checkpoints, name))
    }
    return {
        "path": str(path),
        "source_language": run.languages[0],
        "target_language": run.languages[1],
        "source_vocabulary": run.provenance["source_vocabulary"],
        "target_vocabulary": run.provenance["target_vocabulary"],
        "output_pieces": _output_pieces(run.provenance),
        "parameters": count_parameters(run.build_model()),
        "checkpoints": checkpoints,
        "samples": len({line.sample.line for line in run.read_samples()}),
        "created": run.provenance["created"],
        "command_line": run.provenance["command_line"],
        "versions": run.provenance["versions"],
        "store": run.provenance["store"],
        "started_from": run.provenance.get("started_from") or {},
        "tuned": run.provenance.get("tuned") or {},
        "tags": list(run.tokenizer("source").tags),
        "inputs": run.provenance["inputs"],
        "config": run.config.model_dump(),
    }


def _output_pieces(description: dict[str, Any]) -> int:
    """How many pieces a model may write, by a store's meta.json or a run's provenance.json."""
    pieces = description.get("output_pieces")
    return int(pieces["count"] if pieces else description["target_vocabulary"])


def _of_checkpoint(path: Path) -> dict[str, Any]:
    verified = verify(path)
    state = verified.state
    size = sum(file.stat().st_size for file in path.iterdir())
    return {
        "path": str(path),
        "update": state.update,
        "epoch": state.position.epoch,
        "seconds": round(state.seconds, 1),
        "best_update": state.best_update,
        "best_nats_per_token": state.best_nats,
        "measured": scores_by_name(state.measured) if state.measured else {},
        "model_sha256": verified.hashes[MODEL],
        "megabytes": round(size / 1e6, 1),
        "verified": True,
    }
