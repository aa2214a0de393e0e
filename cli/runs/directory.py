"""A run directory: a trained model with everything that later commands need to use it.

config.toml         every setting, resolved
provenance.json     versions, command line, seed, languages, hashes of data, SentencePiece models
                    and output ids, counts of the pieces of the training sources, and the settings
                    that were changed when the run was resumed
*.model             the SentencePiece models
lexicon.safetensors likely translations of each source piece, learnt when the run is created, if the
                    model has a lexicon, or when --shortlist is first used
links.safetensors   links of the pieces of the training pairs, learnt when the run is created, or
                    resumed without them, if attention is guided and the token store has no links
output.ids          ids of the pieces that the model may write; if there is no such file, any piece
metrics.jsonl       one line per event; the same bytes when the same run is repeated
samples.jsonl       a few validation sentences and their translations at every validation
curves.jsonl        at every validation the seconds and tokens so far, and the shape of attention
train.log           the progress of training, with times of day
report.txt          how training went and what to try next, written when it ends
tensorboard/        event files, with training.track=tensorboard
checkpoints/        update-N/, averaged/ if asked for, and the pointers `best` and `last`;
                    damaged-update-N/ where one was found damaged
"""

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from cli.runs.config import RunConfig, dump_config, ignore, load_config
from cli.runs.history import (
    CurveLine,
    HistoryLine,
    SampleLine,
    parse_curve,
    parse_history,
    parse_sample,
)
from cli.runs.learnt_files import write_learnt
from cli.runs.learnt_links import learnt_links
from cli.runs.lexicons import entries_of, learnt_table
from cli.runs.provenance import new_provenance, read_provenance
from data.lexical_table import LexicalTable
from data.links import LinkMatrices, StoredLinks, WordLinks
from data.output_pieces import OUTPUT_IDS, OutputTokenizer, read_output_ids
from data.piece_links import PieceLinks
from data.source_statistics import SourceStatistics
from data.token_store import META, Side, TokenStore, model_name
from data.tokenization import PieceIds, Tokenizer
from seq2seq.building import WeightsNotDrawn, build_model
from seq2seq.checkpoints.checkpoint import DamagedCheckpointError, VerifiedCheckpoint, verify
from seq2seq.checkpoints.folder import newest_whole, pointed
from seq2seq.errors import CheckpointError, ConfigError, CorpusError, ResourceError
from seq2seq.model import EncoderDecoder
from seq2seq.system.files import replacing, replacing_directory, sha256_of, write_json
from seq2seq.system.locks import exclusive_lock
from seq2seq.system.shell import command
from seq2seq.training.events import TrainingState
from seq2seq.training.schedule import with_validation_planned

CONFIG = "config.toml"
LEXICON = "lexicon.safetensors"
PIECE_LINKS = "links.safetensors"
Line = TypeVar("Line")


@dataclass(frozen=True)
class RunDirectory:
    """A run by its path; its files are loaded when they are first needed."""

    path: Path

    @classmethod
    def create(
        cls,
        path: Path,
        config: RunConfig,
        store: TokenStore,
        *,
        started_from: dict[str, Any] | None = None,
        tuned: dict[str, Any] | None = None,
        shared: Path | None = None,
        note: Callable[[str], None] = ignore,
    ) -> "RunDirectory":
        """Create a run that is ready to be trained.

        Settings of validation that are left open are chosen for the store, by their cost.

        started_from, tuned: the run whose weights it starts with, and the search that found its
            settings, as in provenance.json
        shared: a folder from which it takes a lexicon and links, learnt once for several runs
        note: is given a line before links of many pairs are learnt

        Raises ConfigError if the path exists.
        """
        cls.refuse_existing(path)
        config = _with_validation_planned(config, store)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing_directory(path) as folder:
                (folder / "checkpoints").mkdir()
                (folder / CONFIG).write_text(dump_config(config), encoding="utf-8")
                for model in store.path.glob("*.model"):
                    shutil.copy(model, folder / model.name)
                provenance = new_provenance(config, store, started_from=started_from, tuned=tuned)
                if provenance["output_pieces"]:
                    shutil.copy(store.path / OUTPUT_IDS, folder / OUTPUT_IDS)
                write_json(folder / "provenance.json", provenance)
                if config.model.lexicon:
                    write_learnt(folder / LEXICON, learnt_table, store, shared)
                cls(folder).learn_links(store, shared=shared, note=note)
        except OSError as error:
            raise ResourceError(
                f"{path} cannot be created: {error.strerror}",
                hint="free some space, or choose a folder that you may write to",
            ) from error
        return cls(path)

    @staticmethod
    def refuse_existing(path: Path) -> None:
        if (path.exists() or path.is_symlink()) and not (path / CONFIG).is_file():
            raise ConfigError(
                f"{path} exists already and is not a run directory", hint="choose another path"
            )
        if path.exists():
            raise ConfigError(
                f"{path} exists already", hint="continue it with --resume, or choose another path"
            )

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """Raises CheckpointError where there is no run, or one of another format version."""
        run = cls(path)
        if not (path / CONFIG).is_file():
            raise _not_a_run(path)
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
        """The tag in front of every source of the main corpus and of the validation set."""
        corpora = self.provenance.get("corpora")  # absent in runs of versions with one corpus only
        return corpora[0]["tag"] if corpora else None

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def own_files(self) -> list[Path]:
        """Everything that training wrote: a user's files may lie beside it."""
        files = [self.path / CONFIG, self.path / "provenance.json", self.path / OUTPUT_IDS]
        files += [self.path / LEXICON, self.path / PIECE_LINKS]
        written = [self.metrics, self.samples, self.curves, self.report, self.log]
        folders = [self.path / "checkpoints", self.path / "tensorboard"]
        return [*files, *self.path.glob("*.model"), *written, *folders]

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        return self.path / "samples.jsonl"

    @property
    def curves(self) -> Path:
        return self.path / "curves.jsonl"

    @property
    def report(self) -> Path:
        return self.path / "report.txt"

    @property
    def log(self) -> Path:
        return self.path / "train.log"

    @property
    def source_statistics(self) -> SourceStatistics | None:
        """The pieces of the sources that it was trained on; None for runs of earlier versions."""
        found = self.provenance.get("source_statistics")
        return SourceStatistics.model_validate(found) if found else None

    @cached_property
    def output_ids(self) -> PieceIds | None:
        """The ids that the model may write; None: all of the target vocabulary. [V']

        Raises CheckpointError where they are not those that this run was trained with.
        """
        pieces = self.provenance.get("output_pieces")  # absent in runs of format version 1
        if pieces is None:
            return None
        path = self.path / OUTPUT_IDS
        if not path.is_file() or sha256_of(path) != pieces["sha256"]:
            raise CheckpointError(f"{path} is missing or damaged", hint="restore the run directory")
        return read_output_ids(self.path)

    def trained_store(self) -> TokenStore | None:
        """The token store that the run was trained on; None if it is gone or has other contents."""
        try:
            store = TokenStore.open(self.store_path)
        except CorpusError:
            return None
        return store if store.sha256 == self.provenance["store"]["sha256"] else None

    @property
    def store_path(self) -> Path:
        """Where the token store was that the run was trained on."""
        return Path(self.provenance["store"]["path"])

    def tokenizer(self, side: Side) -> Tokenizer:
        """The tokenizer of a side; that of the target encodes text in output pieces.

        Raises CheckpointError when the model is not the one this run was trained with.
        """
        path = self.path / model_name(side, joint=self.config.data.joint)
        if not path.is_file() or sha256_of(path) != self.provenance["pieces_sha256"].get(path.name):
            raise CheckpointError(f"{path} is missing or damaged", hint="restore the run directory")
        if side == "target" and self.output_ids is not None:
            return OutputTokenizer(path.read_bytes(), self.output_ids, name=str(path))
        return Tokenizer.load(path)

    def build_model(self) -> EncoderDecoder:
        """The model of this run, with random weights."""
        return build_model(
            self.config.model,
            source_vocabulary=self.provenance["source_vocabulary"],
            target_vocabulary=self.provenance["target_vocabulary"],
            joint=self.config.data.joint,
            # All tags of the tokenizer, of which the corpora may use fewer. Only word dropout needs
            # their number.
            tags=len(self.tokenizer("source").tags) if self.config.model.word_dropout else 0,
            output_ids=None if self.output_ids is None else self.output_ids.tolist(),
            entries=entries_of(self.lexical_table()) if self.config.model.lexicon else None,
        )

    def lexical_table(self) -> LexicalTable:
        """Raises CheckpointError where it is missing or damaged."""
        return LexicalTable.read(
            self.path / LEXICON, store_sha256=self.provenance["store"]["sha256"]
        )

    def learn_links(
        self,
        store: TokenStore,
        *,
        shared: Path | None = None,
        note: Callable[[str], None] = ignore,
    ) -> None:
        """Learn the links that guide attention, unless there are some or none are needed.

        shared, note: as `create` has them
        """
        path = self.path / PIECE_LINKS
        if self.config.training.guided_alignment and not store.links and not path.is_file():
            write_learnt(path, partial(learnt_links, note=note), store, shared)

    def link_matrices(self, store: TokenStore) -> LinkMatrices:
        """The links that guide attention: those of words in the token store, or else of pieces.

        Raises CheckpointError where these are missing or damaged.
        """
        if store.links:
            return WordLinks(
                split=store.split("train"),
                links=StoredLinks.open(store),
                unlinked=self.config.training.guided_alignment_unlinked,
            )
        return self.piece_links()

    def piece_links(self) -> PieceLinks:
        """Raises CheckpointError where they are missing or damaged."""
        return PieceLinks.read(
            self.path / PIECE_LINKS, store_sha256=self.provenance["store"]["sha256"]
        )

    def load_model(self, checkpoint: VerifiedCheckpoint) -> EncoderDecoder:
        """The model of this run, with the weights of a checkpoint."""
        with WeightsNotDrawn():
            model = self.build_model()
        checkpoint.load_weights(model)
        return model

    def checkpoint(self, name: str = "best") -> Path:
        """The path of a checkpoint: "best", "last" or its folder's name."""
        if found := pointed(self.checkpoints, name):
            return found
        names = [each for each in ("best", "last") if pointed(self.checkpoints, each)]
        names += sorted(p.parent.name for p in self.checkpoints.glob("[ua]*/MANIFEST.json"))
        raise CheckpointError(
            f"{self.path} has no checkpoint {name!r}",
            hint=f"there are {', '.join(names)}"
            if names
            else "training ended before its first checkpoint: continue with --resume",
        )

    @property
    def checkpoint_names(self) -> list[tuple[int, str]]:
        """Number of updates and folder of every checkpoint of the training, the oldest first."""
        found = {
            int(match[1]): path.parent.name
            for path in sorted(self.checkpoints.glob("update-*/MANIFEST.json"))
            if (match := re.match("update-([0-9]+)", path.parent.name))
        }
        return sorted(found.items())

    def verified(self, name: str = "best") -> VerifiedCheckpoint:
        """A checkpoint, after its files were found to have the hashes that were written.

        Raises DamagedCheckpointError otherwise, with a hint that names a whole one. The program
        does not take that one by itself: which weights translate is the user's choice.
        """
        path = self.checkpoint(name)
        while True:
            try:
                return verify(path)
            except DamagedCheckpointError as error:
                if (current := self.checkpoint(name)) != path:  # replaced by a running training
                    path = current
                    continue
                raise DamagedCheckpointError(error.message, hint=self._whole_instead()) from error

    def _whole_instead(self) -> str:
        """A hint: which checkpoint to use in place of a damaged one, or that none is whole."""
        for whole in newest_whole(self.checkpoints, first=["best", "last"]):
            pointers = (n for n in ("best", "last") if pointed(self.checkpoints, n) == whole.path)
            name = next(pointers, whole.path.name)
            return f"{whole.path.name} is whole: use --checkpoint {name}, or train on with --resume"
        return "no checkpoint of the run is whole: restore one from a copy, or train again"

    def write_config(self, config: RunConfig) -> None:
        with replacing(self.path / CONFIG) as partial:
            partial.write_text(dump_config(config), encoding="utf-8")
        self.__dict__.pop("config", None)

    def record_changes(self, changes: Iterable[dict[str, Any]]) -> None:
        """Append changes of settings to those that provenance.json lists."""
        recorded = [*self.provenance.get("changes", ()), *changes]
        write_json(self.path / "provenance.json", self.provenance | {"changes": recorded})
        self.__dict__.pop("provenance", None)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only process that writes to the run; raises ResourceError if another one is."""
        with exclusive_lock(self.path / ".lock", f"{self.path} is being trained"):
            yield

    def read_metrics(self) -> list[HistoryLine]:
        """Every line of metrics.jsonl; empty before the first one."""
        return _read_lines(self.metrics, parse_history)

    def read_samples(self) -> list[SampleLine]:
        """Every line of samples.jsonl; empty before the first validation."""
        return _read_lines(self.samples, parse_sample)

    def read_curves(self) -> list[CurveLine]:
        """Every line of curves.jsonl; runs of earlier versions have none."""
        return _read_lines(self.curves, parse_curve)

    def rewind(self, state: TrainingState) -> None:
        """Remove the metrics, samples and curves after `state`, which training records again."""
        _rewind(self.metrics, parse_history, state)
        _rewind(self.samples, parse_sample, state)
        _rewind(self.curves, parse_curve, state)


def _with_validation_planned(config: RunConfig, store: TokenStore) -> RunConfig:
    valid = store.split("valid")
    training = with_validation_planned(
        config.training,
        sentences=len(valid),
        tokens=int(valid.target_lengths.sum()) + len(valid),  # with EOS
        beam=config.search.beam,
    )
    return config.model_copy(update={"training": training})


def _read_lines(path: Path, parse: Callable[[str], Line]) -> list[Line]:
    """Raises CheckpointError where a line is damaged."""
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="\n") as stream:
            return [parse(line) for line in stream]
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged", hint="restore the run directory") from error


def _rewind(
    path: Path, parse: Callable[[str], HistoryLine | SampleLine | CurveLine], state: TrainingState
) -> None:
    """Keep the bytes of the lines up to a state; a line cut short by a crash is removed too."""

    def is_kept(line: str) -> bool:
        with suppress(ValueError):
            return parse(line).precedes(state)
        return False

    if not path.is_file():
        return
    with path.open("rb") as stream:
        kept = [line for line in stream if is_kept(line.decode("utf-8", "replace"))]
    with replacing(path) as partial:
        partial.write_bytes(b"".join(kept))


def _not_a_run(path: Path) -> CheckpointError:
    """The error for a path that is no run directory, with a hint at what it may be instead."""
    for checkpoints in (path, path.parent):
        folder = checkpoints.parent
        if checkpoints.name == "checkpoints" and (folder / CONFIG).is_file():
            return CheckpointError(
                f"{path} is inside the run directory {folder}",
                hint=f"name {folder}; --checkpoint chooses one of its checkpoints",
            )
    if (path / META).is_file():
        return CheckpointError(
            f"{path} is a token store, not a run directory",
            hint=f"train on it first: {command('train', path, 'RUN')}",
        )
    return CheckpointError(f"{path} is not a run directory", hint="create one with `seq2seq train`")
