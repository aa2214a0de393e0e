"""A small corpus and the commands that prepare and train on it."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WORDS = ["red", "green", "dog", "cat", "bird", "sees", "finds", "the", "a", "small", "big", "house"]
UPDATES = 120


@dataclass(frozen=True)
class Corpus:
    """Line files, and the options of `preprocess` that name them."""

    folder: Path

    @property
    def train(self) -> tuple[Path, Path]:
        return self.folder / "train.en", self.folder / "train.xx"

    @property
    def valid(self) -> tuple[Path, Path]:
        return self.folder / "valid.en", self.folder / "valid.xx"

    def write(self, *, train: int, valid: int) -> None:
        """`train` and `valid` pairs, none of them in both splits."""
        for files, count in ((self.train, train), (self.valid, valid)):
            sides = zip(*pairs(count, seed=files[0].name), strict=True)
            for path, lines in zip(files, sides, strict=True):
                path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def preprocess(self, store: Path, *options: object) -> tuple[object, ...]:
        """The arguments that make a store of it."""
        valid = ("--valid-source", self.valid[0], "--valid-target", self.valid[1])
        return ("preprocess", *self.train, store, *valid, "--vocabulary-size", 350, *options)


def train(store: Path, run: Path, *options: object, updates: int = UPDATES) -> tuple[object, ...]:
    """The arguments that train a very small model, the same one each time."""
    settings = {
        "training.updates": updates,
        "training.validate_every": 40,
        "training.log_every": 5,
        "training.batch_tokens": 300,
        "training.learning_rate": 1e-2,
        "training.warmup": 10,
        "training.label_smoothing": 0.0,
        "model.embedding_size": 48,
        "model.encoder_size": 24,
        "model.decoder_size": 48,
        "model.attention_size": 16,
        "model.embedding_dropout": 0.0,
        "model.dropout": 0.1,
    }
    sets = [f"--set={name}={value}" for name, value in settings.items()]
    return ("train", store, run, "--recipe", "tiny", "--threads", 1, *sets, *options)


def pairs(count: int, *, seed: str) -> Iterator[tuple[str, str]]:
    """Sentences, and each with its words spelt backwards."""
    rng = random.Random(seed)
    for _ in range(count):
        words = rng.choices(WORDS, k=rng.randint(2, 6))
        yield " ".join(words), " ".join(word[::-1] for word in words)
