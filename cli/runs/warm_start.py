"""Warm start: a new run that begins with the model and the best weights of another."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from cli.runs.config import RunConfig, Values
from cli.runs.directory import RunDirectory
from cli.runs.word_links import guided_head, guided_shift
from data.token_store import TokenStore
from seq2seq.checkpoints.checkpoint import MODEL, VerifiedCheckpoint
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.system.shell import command

CHANGEABLE = (
    "embedding_dropout", "word_dropout", "target_word_dropout", "dropout", "readout_dropout",
    "context_dropout", "attention_dropout", "recurrent_dropout", "zoneout", "variational_dropout",
)  # fmt: skip
"""Settings of `model` that do not affect the weights; all others are those of the origin."""


@dataclass(frozen=True)
class Origin:
    """The run whose best weights another run begins with."""

    run: RunDirectory

    @classmethod
    def open(cls, path: Path) -> "Origin":
        return cls(RunDirectory.open(path))

    @cached_property
    def checkpoint(self) -> VerifiedCheckpoint:
        """Raises CheckpointError where it is damaged or there is none."""
        return self.run.verified("best")

    @property
    def settings(self) -> Values:
        """All settings of its model."""
        return {"model": self.run.config.model.model_dump()}

    @property
    def is_guided(self) -> bool:
        """Whether its attention, the mean of all heads, learnt to link what a step writes."""
        config = self.run.config
        taught = guided_head(config), guided_shift(config).rows
        return config.training.guided_alignment > 0 and taught == (None, 0)

    def check_fits(self, config: RunConfig, store: TokenStore) -> None:
        """Raises ConfigError where model or subword pieces of a new run are not the origin's."""
        if self.run.provenance["pieces_sha256"] != store.pieces_sha256:
            path = self.run.path
            raise ConfigError(
                f"{path} was trained with other pieces than those of {store.path}",
                hint="prepare the data with its pieces: "
                + command("preprocess", "...", "--pieces-of", path),
            )
        origin, new = self.run.config.model.model_dump(), config.model.model_dump()
        for name in new:
            if name not in CHANGEABLE and new[name] != origin[name]:
                raise ConfigError(
                    f"model.{name} is {new[name]!r}, but the weights of {self.run.path} are of a "
                    f"model with {origin[name]!r}",
                    hint=f"leave it out; of the model only {', '.join(CHANGEABLE)} may be changed",
                )

    def provenance(self) -> dict[str, Any]:
        """Which weights of which run, for provenance.json."""
        return {
            "run": str(self.run.path.absolute()),
            "update": self.checkpoint.state.update,
            "model_sha256": self.checkpoint.hashes[MODEL],
        }


def load_origin(run: RunDirectory, model: nn.Module) -> None:
    """Load the weights that a run begins with, if its provenance.json names any.

    Raises CheckpointError where they are gone or changed: without them it would be another run.
    """
    started_from = run.provenance.get("started_from")
    if started_from is None:
        return
    origin = Path(started_from["run"])
    if not origin.is_dir():
        raise CheckpointError(
            f"{run.path} begins with the weights of {origin}, which is gone",
            hint="restore it, or create the run again",
        )
    checkpoint = RunDirectory.open(origin).verified("best")
    if checkpoint.hashes[MODEL] != started_from["model_sha256"]:
        raise CheckpointError(
            f"{run.path} begins with update {started_from['update']:,} of {origin}, which has "
            "been trained further since",
            hint="create the run again",
        )
    checkpoint.load_weights(model)
