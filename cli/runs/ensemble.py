"""Further models that translate together with that of a run, and whether they can."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.runs.directory import RunDirectory
from seq2seq.checkpoints.checkpoint import MODEL, VerifiedCheckpoint
from seq2seq.config import SearchConfig
from seq2seq.errors import ConfigError
from seq2seq.model import EncoderDecoder
from seq2seq.system.figures import counted


@dataclass(frozen=True)
class Member:
    """A further model of an ensemble."""

    model: EncoderDecoder
    run: Path
    checkpoint: VerifiedCheckpoint

    @classmethod
    def load(cls, run: RunDirectory, checkpoint: str, device: str) -> "Member":
        verified = run.verified(checkpoint)
        return cls(run.load_model(verified).to(device), run.path, verified)

    @property
    def provenance(self) -> dict[str, Any]:
        return {
            "run": str(self.run),
            "checkpoint": self.checkpoint.path.name,
            "model_sha256": self.checkpoint.hashes[MODEL],
        }


def require_weights(search: SearchConfig, models: int) -> None:
    """Raises ConfigError for weights that are not as many as the models."""
    given = len(search.ensemble_weights)
    if given and given != models:
        raise ConfigError(
            f"search.ensemble_weights has {counted(given, 'weight')} for {counted(models, 'run')}",
            hint="give one weight for each run, in their order; name further runs by --with",
        )


def require_same_pieces(run: RunDirectory, other: RunDirectory) -> None:
    """Raises ConfigError unless both encode sources and write targets in the same ids."""
    hint = "the runs of an ensemble are trained on one store, or on stores made with --pieces-of"
    for side in ("source", "target"):
        if run.tokenizer(side).model != other.tokenizer(side).model:
            raise ConfigError(f"{other.path} has other {side} pieces than {run.path}", hint=hint)
    written = [None if r.output_ids is None else r.output_ids.tolist() for r in (run, other)]
    if written[0] != written[1]:
        raise ConfigError(f"{other.path} writes other output pieces than {run.path}", hint=hint)
    if run.main_tag != other.main_tag:
        raise ConfigError(
            f"{other.path} was trained with other tags before its sources than {run.path}",
            hint=hint,
        )
