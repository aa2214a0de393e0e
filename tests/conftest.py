"""What every test shares: one torch thread, repeatable laws, a corpus and a store made of it."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from data.config import DataConfig
from data.preparation import CorpusFiles, prepare
from data.token_store import TokenStore
from tests_support import corpus_lines, write_corpus

torch.set_num_threads(1)  # two threads on a busy machine of two cores are 15 times slower
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
