"""A run directory: everything that a trained model is, and all that a later command needs.

config.toml         every setting, resolved
provenance.json     versions, command line, seed, languages, hashes of data and pieces, and what was
                    changed when the run was resumed
*.model             the SentencePiece models
metrics.jsonl       one line an event; the same bytes when the same run is repeated
samples.jsonl       a few validation sentences and their translations at every validation
train.log           what was told while training
report.txt          how training went and what to try next, once it has ended
checkpoints/        update-N/, perhaps averaged/, and the pointers `best` and `last`;
                    damaged-update-N/ where one was found damaged
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.runs.config import RunConfig, dump_config, load_config
from cli.runs.provenance import provenance_of, read_provenance
from seq2seq.errors import CheckpointError, ConfigError, ResourceError
from seq2seq.system.files import parse_json, replacing, replacing_directory, sha256_of, write_json

if TYPE_CHECKING:
    from data.token_store import Side, TokenStore
    from data.tokenization import Tokenizer
    from seq2seq.checkpoints.checkpoint import VerifiedCheckpoint
    from seq2seq.model import EncoderDecoder
    from seq2seq.training.loop import TrainingState

CONFIG = "config.toml"


@dataclass(frozen=True)
class RunDirectory:
    """The paths and facts of a run."""

    path: Path

    @classmethod
    def create(
        cls,
        path: Path,
        config: RunConfig,
        store: "TokenStore",
        *,
        started_from: dict[str, Any] | None = None,
    ) -> "RunDirectory":
        """Make a run that is ready to be trained, perhaps from the weights of another; raises
        ConfigError if the path exists."""
        cls.refuse_existing(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing_directory(path) as partial:
                (partial / "checkpoints").mkdir()
                (partial / CONFIG).write_text(dump_config(config), encoding="utf-8")
                for model in store.path.glob("*.model"):
                    shutil.copy(model, partial / model.name)
                provenance = provenance_of(config, store, started_from=started_from)
                write_json(partial / "provenance.json", provenance)
        except OSError as error:
            raise ResourceError(
                f"{path} cannot be made: {error.strerror}",
                hint="free space, or choose a folder of yours",
            ) from error
        return cls(path)

    @staticmethod
    def refuse_existing(path: Path) -> None:
        if path.exists() or path.is_symlink():
            raise ConfigError(
                f"{path} exists already", hint="go on with --resume, or choose another path"
            )

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """Raises CheckpointError when the path holds no run, or one of another format."""
        run = cls(path)
        if not (path / CONFIG).is_file():
            raise CheckpointError(
                f"{path} is not a run directory", hint="make one with `seq2seq train`"
            )
        _ = run.provenance
        return run

    @cached_property
    def config(self) -> RunConfig:
        return load_config(self.path / CONFIG)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        return read_provenance(self.path / "provenance.json")

    @property
    def languages(self) -> tuple[str | None, str | None]:
        return self.provenance["source_language"], self.provenance["target_language"]

    @property
    def main_tag(self) -> str | None:
        """The tag in front of the main corpus's sources, which validation has too."""
        corpora = self.provenance.get("corpora")  # runs from before there were several have none
        return corpora[0]["tag"] if corpora else None

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        return self.path / "samples.jsonl"

    @property
    def report(self) -> Path:
        return self.path / "report.txt"

    @property
    def log(self) -> Path:
        return self.path / "train.log"

    def tokenizer(self, side: "Side") -> "Tokenizer":
        """Raises CheckpointError when the model is not the one this run was trained with."""
        from data.token_store import model_name
        from data.tokenization import Tokenizer

        path = self.path / model_name(side, joint=self.config.data.joint)
        if not path.is_file() or sha256_of(path) != self.provenance["pieces_sha256"].get(path.name):
            raise CheckpointError(f"{path} is missing or damaged", hint="restore the run directory")
        return Tokenizer.load(path)

    def build_model(self) -> "EncoderDecoder":
        """The model of this run, with fresh weights."""
        from seq2seq.building import build_model

        return build_model(
            self.config.model,
            source_vocabulary=self.provenance["source_vocabulary"],
            target_vocabulary=self.provenance["target_vocabulary"],
            joint=self.config.data.joint,
            # of the pieces, which may have more than the corpora use; only word dropout asks
            tags=len(self.tokenizer("source").tags) if self.config.model.word_dropout else 0,
        )

    def checkpoint(self, name: str = "best") -> Path:
        """The path of "best", "last" or a checkpoint by its folder's name."""
        from seq2seq.checkpoints.folder import pointed

        if found := pointed(self.checkpoints, name):
            return found
        names = [each for each in ("best", "last") if pointed(self.checkpoints, each)]
        names += sorted(p.parent.name for p in self.checkpoints.glob("[ua]*/MANIFEST.json"))
        raise CheckpointError(
            f"{self.path} has no checkpoint {name!r}",
            hint=f"there are {', '.join(names)}"
            if names
            else "training ended before its first checkpoint: go on with --resume",
        )

    def verified(self, name: str = "best") -> "VerifiedCheckpoint":
        """A checkpoint that was proved to be what was written.

        Where it is damaged it is refused, and the hint names one that is whole: which weights
        translate is not for the program to choose.
        """
        from seq2seq.checkpoints.checkpoint import DamagedCheckpointError, verify

        path = self.checkpoint(name)
        while True:
            try:
                return verify(path)
            except DamagedCheckpointError as error:
                if (now := self.checkpoint(name)) != path:  # replaced by a training that goes on
                    path = now
                    continue
                raise DamagedCheckpointError(error.message, hint=self._whole_instead()) from error

    def _whole_instead(self) -> str:
        """A hint: which checkpoint to use in place of a damaged one, or that none is whole."""
        from seq2seq.checkpoints.folder import newest_whole, pointed

        for whole in newest_whole(self.checkpoints, first=["best", "last"]):
            pointers = (n for n in ("best", "last") if pointed(self.checkpoints, n) == whole.path)
            name = next(pointers, whole.path.name)
            return f"{whole.path.name} is whole: use --checkpoint {name}, or train on with --resume"
        return "no checkpoint of the run is whole: restore one from a copy, or train again"

    def write_config(self, config: RunConfig) -> None:
        with replacing(self.path / CONFIG) as partial:
            partial.write_text(dump_config(config), encoding="utf-8")
        self.__dict__.pop("config", None)

    def note_changes(self, changes: Iterable[dict[str, Any]]) -> None:
        """Append to the changes of settings that provenance.json tells of."""
        told = [*self.provenance.get("changes", ()), *changes]
        write_json(self.path / "provenance.json", self.provenance | {"changes": told})
        self.__dict__.pop("provenance", None)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for writing; the kernel lets go of it when the process dies."""
        from seq2seq.system.locks import exclusive_lock

        with exclusive_lock(self.path / ".lock", f"{self.path} is being trained"):
            yield

    def read_metrics(self) -> list[dict[str, Any]]:
        """Every line of metrics.jsonl; none before the first."""
        return _read_lines(self.metrics)

    def read_samples(self) -> list[dict[str, Any]]:
        """Every line of samples.jsonl; none before the first validation."""
        return _read_lines(self.samples)

    def rewind(self, state: "TrainingState") -> None:
        """Take metrics and samples back to a checkpoint: what is done again is not told twice."""
        for path in (self.metrics, self.samples):
            if not path.is_file():
                continue
            with path.open(encoding="utf-8", newline="\n") as stream:
                kept = [line for line in stream if _told_by(line, state)]
            with replacing(path) as partial:
                partial.write_text("".join(kept), encoding="utf-8", newline="\n")


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """JSON lines; raises CheckpointError where one is damaged."""
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="\n") as stream:
            return [dict(parse_json(line)) for line in stream]
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged", hint="restore the run directory") from error


def _told_by(line: str, state: "TrainingState") -> bool:
    """Whether a line of metrics or samples tells of something that lies behind a state."""
    try:
        values = parse_json(line)
        if values.get("event") == "average":
            return False  # told anew wherever a run ends
        done = state.update if values.get("event") == "update" else state.validated
        return bool(values["update"] <= done)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False  # a line cut short by a crash
