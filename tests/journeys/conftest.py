"""A small corpus, its token store and a run, made once by the installed program."""

from pathlib import Path

import pytest
from journey import Corpus, pairs, train
from program import Ended, succeed


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    made = Corpus(tmp_path_factory.mktemp("journey"))
    for files, count in ((made.train, 1000), (made.valid, 40)):
        sides = zip(*pairs(count, seed=files[0].name), strict=True)
        for path, lines in zip(files, sides, strict=True):
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return made


@pytest.fixture(scope="session")
def prepared(corpus: Corpus) -> Path:
    """A token store; read only."""
    store = corpus.folder / "store"
    succeed(*corpus.preprocess(store))
    return store


@pytest.fixture(scope="session")
def training(prepared: Path) -> tuple[Path, Ended]:
    """A run directory, and what training it printed; read only."""
    run = prepared.parent / "run"
    return run, succeed(*train(prepared, run))


@pytest.fixture(scope="session")
def run(training: tuple[Path, Ended]) -> Path:
    return training[0]
