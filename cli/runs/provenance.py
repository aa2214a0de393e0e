"""provenance.json: where a run came from, and the checks before any of it is used."""

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from cli.runs.config import RunConfig
from cli.runs.joining import launched_size
from data.source_statistics import SourceStatistics
from data.store_description import OutputPieces, StrictModel
from data.token_store import TokenStore
from seq2seq.errors import CheckpointError
from seq2seq.system.files import read_json

FORMAT_VERSION = 2
"""Has output pieces, which a program that knows only version 1 would ignore."""
READABLE_VERSIONS = (1, FORMAT_VERSION)
_PACKAGES = ("torch", "sentencepiece", "numpy", "safetensors")


class _Store(StrictModel):
    path: str
    sha256: str


class _Corpus(StrictModel):
    tag: str | None


class _StartedFrom(StrictModel):
    run: str
    update: int
    model_sha256: str


class _Tuned(StrictModel):
    trials: str  # the folder of the search
    count: int  # of trials, those that were ended early included
    trial: int  # the best one
    settings: dict[str, bool | int | float]


class _Provenance(StrictModel):
    created: str
    command_line: list[str]
    versions: dict[str, str]
    source_language: str | None
    target_language: str | None
    source_vocabulary: int = Field(ge=1)
    target_vocabulary: int = Field(ge=1)
    store: _Store
    inputs: dict[str, Any]
    corpora: list[_Corpus] = Field(default=[])  # absent in runs of versions with one corpus only
    pieces_sha256: dict[Literal["pieces.model", "source.model", "target.model"], str]
    output_pieces: OutputPieces | None = Field(default=None)
    source_statistics: SourceStatistics | None = Field(default=None)  # absent in earlier runs
    started_from: _StartedFrom | None = Field(default=None)
    tuned: _Tuned | None = Field(default=None)
    changes: list[dict[str, Any]] = Field(default=[])


def read_provenance(path: Path) -> dict[str, Any]:
    """Raises CheckpointError if it is missing or damaged, or has another format version."""
    try:
        found = dict(read_json(path))
        if found["format_version"] in READABLE_VERSIONS:
            _Provenance.model_validate(found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is missing or damaged", hint="restore the run directory"
        ) from error
    if found["format_version"] not in READABLE_VERSIONS:
        raise CheckpointError(
            f"{path.parent} has format version {found['format_version']}, this program reads "
            f"{' and '.join(map(str, READABLE_VERSIONS))}",
            hint="use the version of seq2seq that wrote it",
        )
    return found


def new_provenance(
    config: RunConfig,
    store: TokenStore,
    *,
    started_from: dict[str, Any] | None = None,
    tuned: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of provenance.json for a run that is created now.

    started_from: the run whose weights it starts with, if it does
    tuned: the search that found its settings, if one did
    """
    return {
        "format_version": FORMAT_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command_line": sys.argv,
        "seed": config.training.seed,
        "versions": {
            "seq2seq": version("seq2seq-trainer"),
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
        "machine": platform.platform(),
        **_launch(),
        "source_language": store.languages[0],
        "target_language": store.languages[1],
        "source_vocabulary": store.meta["source_vocabulary"],
        "target_vocabulary": store.meta["target_vocabulary"],
        "store": {"path": str(store.path.absolute()), "sha256": store.sha256},
        "inputs": store.meta["inputs"],
        "corpora": [
            {"name": c.name, "pairs": len(c.pairs), "weight": c.weight, "tag": c.tag}
            for c in store.corpora(config.training.corpus_weights)
        ],
        "pieces_sha256": store.pieces_sha256,
        # With other pieces in each epoch, any piece may occur in a target.
        "output_pieces": None if config.training.target_subword_sampling else store.output_pieces,
        "source_statistics": _source_statistics(config, store, started_from),
        **({"started_from": started_from} if started_from else {}),
        **({"tuned": tuned} if tuned else {}),
    }


def _launch() -> dict[str, Any]:
    """How many processes train the run, and the name of the torchrun that started them."""
    found: dict[str, Any] = {}
    if launched_size() > 1:
        found["processes"] = launched_size()
    if run_id := os.environ.get("TORCHELASTIC_RUN_ID"):
        found["torchrun_id"] = run_id
    return found


def _source_statistics(
    config: RunConfig, store: TokenStore, started_from: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Statistics of the store's sources, joined for a warm start with those of the run before.

    None where the run before has none.
    """
    sampled = config.training.source_subword_sampling > 0
    own = SourceStatistics.of(store, sampled=sampled)
    if started_from is None:
        return own.model_dump()
    before = read_provenance(Path(started_from["run"]) / "provenance.json")
    earlier = before.get("source_statistics")
    return own.joined(SourceStatistics.model_validate(earlier)).model_dump() if earlier else None
