"""Beginning with the weights of another run: what must agree, and what is noted of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.runs.directory import RunDirectory
from seq2seq.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from torch import nn

    from cli.runs.config import RunConfig
    from data.token_store import TokenStore
    from seq2seq.checkpoints.checkpoint import VerifiedCheckpoint

FREE = (
    "embedding_dropout", "word_dropout", "target_word_dropout", "dropout", "readout_dropout",
    "context_dropout", "attention_dropout", "recurrent_dropout", "zoneout", "variational_dropout",
)  # fmt: skip
"""Settings of `model` that are no part of its weights; all others are those of the origin."""


@dataclass(frozen=True)
class Origin:
    """The run that another begins with, and its best checkpoint."""

    run: RunDirectory
    checkpoint: "VerifiedCheckpoint"

    @classmethod
    def open(cls, path: Path, store: "TokenStore") -> "Origin":
        """Raises ConfigError where the run's pieces are not the store's, CheckpointError where its
        best checkpoint cannot be used."""
        run = RunDirectory.open(path)
        if run.provenance["pieces_sha256"] != store.pieces_sha256:
            raise ConfigError(
                f"{path} was trained with other pieces than those of {store.path}",
                hint=f"prepare the data with its pieces: seq2seq preprocess ... --pieces-of {path}",
            )
        return cls(run, run.verified("best"))

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """The layer of settings that its model is."""
        return {"model": self.run.config.model.model_dump()}

    def refuse_other_model(self, config: "RunConfig") -> None:
        """Raises ConfigError for settings whose model these weights do not fit."""
        theirs, ours = self.run.config.model.model_dump(), config.model.model_dump()
        for name in (name for name in ours if name not in FREE and ours[name] != theirs[name]):
            raise ConfigError(
                f"model.{name} is {ours[name]!r}, but the weights of {self.run.path} are of a "
                f"model with {theirs[name]!r}",
                hint=f"leave it out; of the model only {', '.join(FREE)} may be changed",
            )

    def provenance(self) -> dict[str, Any]:
        from seq2seq.checkpoints.checkpoint import MODEL

        return {
            "run": str(self.run.path.absolute()),
            "update": self.checkpoint.state.update,
            "model_sha256": self.checkpoint.hashes[MODEL],
        }


def load_origin(run: RunDirectory, model: "nn.Module") -> None:
    """Give a run that begins the weights that it is to begin with, if it is to.

    Raises CheckpointError where these are gone: beginning without them would be another training.
    """
    from seq2seq.checkpoints.checkpoint import MODEL

    told = run.provenance.get("started_from")
    if told is None:
        return
    if not Path(told["run"]).is_dir():
        raise CheckpointError(
            f"{run.path} is to begin with the weights of {told['run']}, which is gone",
            hint="put it back, or make the run anew",
        )
    found = RunDirectory.open(Path(told["run"])).verified("best")
    if found.hashes[MODEL] != told["model_sha256"]:
        raise CheckpointError(
            f"{run.path} was to begin with update {told['update']:,} of {told['run']}, which has "
            "been trained on since",
            hint="make the run anew",
        )
    found.load_weights(model)
