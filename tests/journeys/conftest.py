"""A small corpus, its token store and a run, each made once."""

from pathlib import Path

import pytest
from journey import Corpus, train
from program import ProgramResult, call


@pytest.fixture(autouse=True, scope="module")
def quick_scores(few_samples: None) -> None:
    pass


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    corpus = Corpus(tmp_path_factory.mktemp("journey"))
    corpus.write(train=1000, valid=40)
    return corpus


@pytest.fixture(scope="session")
def prepared(corpus: Corpus) -> Path:
    """A token store; read only."""
    store = corpus.folder / "store"
    result = call(*corpus.preprocess(store))
    assert result.code == 0, result.err
    return store


@pytest.fixture(scope="session")
def training(prepared: Path) -> tuple[Path, ProgramResult]:
    """A run directory, and what training it printed; read only."""
    run = prepared.parent / "run"
    result = call(*train(prepared, run))
    assert result.code == 0, result.err
    return run, result


@pytest.fixture(scope="session")
def run(training: tuple[Path, ProgramResult]) -> Path:
    return training[0]
