"""A small corpus, its token store and a run, made once by the installed program."""

from pathlib import Path

import pytest
from journey import Corpus, train
from program import Ended, succeed


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    made = Corpus(tmp_path_factory.mktemp("journey"))
    made.write(train=1000, valid=40)
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
