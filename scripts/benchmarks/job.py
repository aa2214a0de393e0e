"""What is held equal between systems, and what one training is told; read in every environment."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Order = Literal["luong", "bahdanau"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The one model that every system trains: untied embeddings, one layer a side."""

    vocabulary: int  # entries a side, four special symbols included
    embedding: int = 256
    encoder: int = 256  # a direction
    decoder: int = 512
    attention: int = 512  # inner width of the additive score

    @property
    def memory(self) -> int:
        return 2 * self.encoder


@dataclass(frozen=True, kw_only=True)
class Regime:
    """How every system trains it."""

    dropout: float = 0.3
    label_smoothing: float = 0.1
    clip_norm: float = 1.0
    learning_rate: float = 1e-3  # Adam
    batch_sentences: int = 80


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training of one system."""

    system: str  # the module of this package that trains
    store: Path  # our token store
    corpus: Path  # its sentences as pieces, for the peers
    folder: Path  # where this training writes
    pairs: int  # in the training set
    sizes: Sizes
    regime: Regime = field(default_factory=Regime)
    order: Order = "luong"
    batch_tokens: int = 0  # ours: the budget that gives the same sentences a batch
    precision: str = "float32"
    device: str = "cpu"  # or cuda
    cuda_graphs: bool = True  # ours
    threads: int = 2
    seed: int = 1
    epochs: int = 1
    warmup: int = 20  # updates before the clock starts
    marks: tuple[float, ...] = ()  # seconds of training after which to save; none: whole epochs

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
        """What the training writes when it is done: the window, and what was trained."""
        return self.folder / "result.json"


def write_json(path: Path, values: object) -> Path:
    """JSON is YAML too, so the peers' configurations are written with it as well."""
    path.write_text(json.dumps(values, indent=2, default=str) + "\n", encoding="utf-8")
    return path
