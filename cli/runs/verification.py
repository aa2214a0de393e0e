"""`seq2seq describe --verify`: which parts of a store, a run or a checkpoint are whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

from cli.runs.contents import kind_at
from cli.runs.directory import RunDirectory
from cli.terminal.console import write_json, write_line
from data.token_store import TokenStore
from data.tokenization import probe
from seq2seq.checkpoints.checkpoint import verify
from seq2seq.checkpoints.folder import pointed
from seq2seq.errors import CheckpointError, CorpusError, UserError
from seq2seq.system.files import sha256_of

Check: TypeAlias = Callable[[], object]
"""Says in a string how something is damaged, or raises it."""


def verify_parts(path: Path, *, as_json: bool) -> None:
    """Say of each part of a store, run or checkpoint whether it is whole.

    Raises CheckpointError at the end where one is not.
    """
    parts: list[dict[str, str | None]] = []
    for part, check in _checks(path):
        problem: str | None = None
        try:
            found = check()
            problem = found if isinstance(found, str) else None
        except (CheckpointError, CorpusError, OSError) as error:
            problem = error.message if isinstance(error, UserError) else str(error)
        parts.append({"part": part, "problem": problem})
        if not as_json:
            write_line(f"damaged  {part}: {problem}" if problem else f"whole    {part}")
    damaged = [each for each in parts if each["problem"]]
    if as_json:
        write_json({"schema_version": 1, "kind": "verification", "parts": parts})
    if damaged:
        raise CheckpointError(
            f"{len(damaged)} of {len(parts)} parts of {path} are damaged",
            hint="what is whole can still be used; restore the rest from a copy",
        )


def _checks(path: Path) -> Iterator[tuple[str, Check]]:
    """The parts of what is at a path, each with what says or raises how it is damaged."""
    kind = kind_at(path)
    if kind == "token store":
        yield from _of_store(path)
    elif kind == "run":
        yield from _of_run(RunDirectory.open(path))
    else:
        yield path.name, partial(verify, path)


def _of_store(path: Path) -> Iterator[tuple[str, Check]]:
    yield "every file of the store, by its SHA-256", TokenStore.open(path).verify
    for model in sorted(path.glob("*.model")):
        yield f"{model.name}, parsed in a process of its own", partial(probe, model)


def _of_run(run: RunDirectory) -> Iterator[tuple[str, Check]]:
    yield "config.toml and provenance.json", lambda: (run.config, run.provenance)
    for name, digest in sorted(run.provenance["pieces_sha256"].items()):
        model = run.path / name
        yield f"{name}, by its SHA-256", partial(_unlike, model, digest)
        if model.is_file():
            yield f"{name}, parsed in a process of its own", partial(probe, model)
    for name in ("best", "last"):
        if (run.checkpoints / name).exists():
            yield f"checkpoints/{name}", partial(_nameless, run, name)
    for folder in sorted((*run.checkpoints.glob("update-*"), *run.checkpoints.glob("averaged"))):
        yield f"checkpoints/{folder.name}", partial(verify, folder)
    yield "metrics.jsonl", run.read_metrics
    yield "samples.jsonl", run.read_samples


def _unlike(path: Path, digest: str) -> str | None:
    whole = path.is_file() and sha256_of(path) == digest
    return None if whole else f"{path} is missing or damaged"


def _nameless(run: RunDirectory, name: str) -> str | None:
    return None if pointed(run.checkpoints, name) else "it names no checkpoint"
