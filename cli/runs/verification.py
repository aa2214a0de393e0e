"""Checks the parts of a token store, run directory or checkpoint for damage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from cli.runs.contents import folder_type
from cli.runs.directory import LEXICON, PIECE_LINKS, RunDirectory
from data.output_pieces import OUTPUT_IDS
from data.token_store import TokenStore
from data.tokenization import check_model_file
from seq2seq.checkpoints.checkpoint import verify
from seq2seq.checkpoints.folder import AVERAGED, checkpoints_in, pointed
from seq2seq.errors import CheckpointError, CorpusError, UserError
from seq2seq.system.files import sha256_of

Check: TypeAlias = Callable[[], object]
"""Returns a string that says how something is damaged, or raises; else it is intact."""


@dataclass(frozen=True)
class VerifiedPart:
    """A part of a store, run or checkpoint, and how it is damaged, if it is."""

    name: str
    problem: str | None


def verify_parts(path: Path) -> Iterator[VerifiedPart]:
    """Verify the parts of a store, run or checkpoint one by one.

    Raises CheckpointError where the path is none of these, and CheckpointError or CorpusError
    where it cannot be opened at all.
    """
    for name, check in _checks(path):
        problem: str | None = None
        try:
            result = check()
            problem = result if isinstance(result, str) else None
        except (CheckpointError, CorpusError, OSError) as error:
            problem = error.message if isinstance(error, UserError) else str(error)
        yield VerifiedPart(name, problem)


def _checks(path: Path) -> Iterator[tuple[str, Check]]:
    """The name of each part, with the function that checks it."""
    kind = folder_type(path)
    if kind == "token store":
        yield from _checks_of_store(path)
    elif kind == "run":
        yield from _checks_of_run(RunDirectory.open(path))
    else:
        yield path.name, partial(verify, path)


def _checks_of_store(path: Path) -> Iterator[tuple[str, Check]]:
    yield "every file of the store, by its SHA-256", TokenStore.open(path).verify
    for model in sorted(path.glob("*.model")):
        yield f"{model.name}, loaded in a separate process", partial(check_model_file, model)


def _checks_of_run(run: RunDirectory) -> Iterator[tuple[str, Check]]:
    yield "config.toml and provenance.json", lambda: (run.config, run.provenance)
    for name, digest in sorted(run.provenance["pieces_sha256"].items()):
        model = run.path / name
        yield f"{name}, by its SHA-256", partial(_hash_problem, model, digest)
        if model.is_file():
            yield f"{name}, loaded in a separate process", partial(check_model_file, model)
    if pieces := run.provenance.get("output_pieces"):
        path = run.path / OUTPUT_IDS
        yield f"{OUTPUT_IDS}, by its SHA-256", partial(_hash_problem, path, pieces["sha256"])
    if run.config.model.lexicon or (run.path / LEXICON).exists():
        yield f"{LEXICON}, by the SHA-256 in it", run.lexical_table
    if (run.path / PIECE_LINKS).exists():
        yield f"{PIECE_LINKS}, by the SHA-256 in it", run.piece_links
    for name in ("best", "last"):
        if (run.checkpoints / name).exists():
            yield f"checkpoints/{name}", partial(_pointer_problem, run, name)
    for folder in (*reversed(checkpoints_in(run.checkpoints)), run.checkpoints / AVERAGED):
        if folder.exists():
            yield f"checkpoints/{folder.name}", partial(verify, folder)
    yield "metrics.jsonl", run.read_metrics
    yield "samples.jsonl", run.read_samples
    yield "curves.jsonl", run.read_curves


def _hash_problem(path: Path, digest: str) -> str | None:
    intact = path.is_file() and sha256_of(path) == digest
    return None if intact else f"{path} is missing or damaged"


def _pointer_problem(run: RunDirectory, name: str) -> str | None:
    return None if pointed(run.checkpoints, name) else "it names no checkpoint"
