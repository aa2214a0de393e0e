"""What every test shares: one torch thread, repeatable laws, and a small store made of text.

xdist's first process, which runs no test, imports this too, so torch is imported in fixtures.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import examples  # noqa: F401  loads the profile of property tests
import pytest

from data.token_store import TokenStore

# A background job ignores Ctrl-C, and under nohup that its terminal is gone, and so would every
# program that a test starts from it.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):  # of the terminal that the tests run in
    os.environ.pop(name, None)
os.fsync = lambda descriptor: None  # waiting for the disk: no test loses power


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """On a busy machine of two cores, two threads are 15 times slower."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def torch_settings(one_thread: None) -> Iterator[None]:
    """Restore the process settings that a command called in a test changes."""
    import torch

    yield
    torch.set_flush_denormal(False)  # Hypothesis draws numbers below 1e-38
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="module")
def few_samples() -> Iterator[None]:
    """Intervals and paired tests of scores are drawn from few samples."""
    from sacrebleu.significance import PairedTest

    from seq2seq.evaluation.quality import score_corpus

    with (
        mock.patch.dict(score_corpus.__kwdefaults__, bootstrap_samples=100),
        mock.patch.dict(PairedTest._DEFAULT_SAMPLES, bs=100, ar=200),
    ):
        yield


@pytest.fixture(scope="session")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared corpus of 90 pairs and a validation set of 12; read only."""
    from tiny import corpus_lines, prepare, write_corpus

    from data.config import DataConfig
    from data.corpora import CorpusFiles

    folder = tmp_path_factory.mktemp("corpus")
    train = CorpusFiles(*write_corpus(folder, "train", list(corpus_lines(90, seed=1))))
    valid = CorpusFiles(*write_corpus(folder, "valid", list(corpus_lines(12, seed=2))))
    prepare(train, valid, folder / "store", DataConfig(vocabulary_size=310), processes=1)
    return folder / "store"


@pytest.fixture
def store(store_path: Path) -> TokenStore:
    return TokenStore.open(store_path)
