"""What all systems have in common, and the descriptions of a training and of a search."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Order = Literal["luong", "bahdanau"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of the model that every system trains: untied embeddings, one layer on each side."""

    vocabulary: int  # entries on each side, four special symbols included
    embedding: int = 256
    encoder: int = 256  # for each direction
    decoder: int = 512
    attention: int = 512  # inner width of the additive score

    @property
    def memory(self) -> int:
        return 2 * self.encoder


@dataclass(frozen=True, kw_only=True)
class Regime:
    """The settings of training that every system has."""

    dropout: float = 0.3
    label_smoothing: float = 0.1
    clip_norm: float = 1.0
    learning_rate: float = 1e-3  # Adam
    batch_sentences: int = 80


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training of one system."""

    system: str  # the module of this package that trains it
    store: Path  # our token store
    corpus: Path  # the sentences of the store as pieces, for the peers
    folder: Path  # where this training writes
    pairs: int  # in the training set
    sizes: Sizes
    regime: Regime = field(default_factory=Regime)
    order: Order = "luong"
    documented: bool = False  # peers alone: as their documentation trains, whatever the regime
    batch_tokens: int = 0  # ours alone: the budget that gives as many sentences in a batch
    precision: str = "float32"
    device: str = "cpu"  # or cuda
    cuda_graphs: bool = True  # ours alone
    threads: int = 2
    seed: int = 1
    epochs: int = 1
    warmup: int = 20  # updates before the clock starts
    marks: tuple[float, ...] = ()  # save after these seconds of training; if none, whole epochs

    @property
    def updates_an_epoch(self) -> int:
        return -(-self.pairs // self.regime.batch_sentences)

    def write(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return write_json(self.folder / "job.json", dataclasses.asdict(self))

    @classmethod
    def read(cls, path: Path) -> Job:
        values = json.loads(path.read_text(encoding="utf-8"))
        values |= {name: Path(values[name]) for name in ("store", "corpus", "folder")}
        values |= {"sizes": Sizes(**values["sizes"]), "regime": Regime(**values["regime"])}
        return cls(**values | {"marks": tuple(values["marks"])})

    @property
    def result(self) -> Path:
        """The file that the training writes at its end: times and counts, and what was trained."""
        return self.folder / "result.json"


@dataclass(frozen=True, kw_only=True)
class Search:
    """What every system is asked for."""

    beam: int = 5
    batch_sentences: int = 64
    length: int | None = None  # pieces of every translation; None: as long as the model wants

    @property
    def name(self) -> str:
        lengths = "natural lengths" if self.length is None else f"{self.length} pieces"
        return f"beam {self.beam}, batches of {self.batch_sentences}, {lengths}"


def write_json(path: Path, values: object) -> Path:
    """Write JSON, which is YAML too: the peers' configurations are also written with it."""
    path.write_text(json.dumps(values, indent=2, default=str) + "\n", encoding="utf-8")
    return path
