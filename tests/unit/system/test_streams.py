"""Named random streams: a resumed run, and one of an older version, draws the same numbers."""

import random

import numpy as np
import pytest
import torch

from data.batching import EpochPlan, pair_groups
from data.token_store import TokenizedSplit
from seq2seq.system.streams import stream_seed, uniform_hash
from seq2seq.training.loop import seed_update
from seq2seq.training.scheduled_sampling import sampling_generator


@pytest.mark.parametrize(
    ("use", "key", "bits", "seed"),  # as version 0.1 drew them
    [
        ("update", (1, 2), 63, 2341004532133647025),
        ("scheduled_sampling", (1, 2), 63, 4158182187645990042),
        ("order", (1, 2), 128, 29541640487361179342748547607617425104),
        ("pieces", ("source", 1, 2, 3), 64, 15166111574219912472),
    ],
)
def test_the_seed_of_a_stream_never_changes(use, key, bits, seed):
    assert stream_seed(use, *key, bits=bits) == seed


def test_the_split_of_a_sentence_never_changes():
    assert uniform_hash("emoji:\U0001f600") == 0.03857943430663509
    assert uniform_hash("smart-home:3") == 0.4935328518257104


def test_training_draws_from_its_streams():
    before = torch.get_rng_state()
    seed_update(1, 2)
    assert torch.initial_seed() == 2341004532133647025
    torch.set_rng_state(before)
    assert sampling_generator(1, 2).initial_seed() == 4158182187645990042


def test_the_order_of_an_epoch_is_drawn_from_its_stream():
    split = TokenizedSplit(np.full(40, 5, np.uint16), np.arange(41), np.arange(1, 21))
    generator = np.random.Generator(np.random.PCG64(29541640487361179342748547607617425104))
    shuffled = generator.permutation(20).tolist()  # 4 pairs of 2 tokens fill a budget of 8
    groups = pair_groups(split, EpochPlan(budget=8, seed=1), epoch=2)
    runs = [shuffled[begin : begin + 4] for begin in range(0, 20, 4)]
    assert [pairs.tolist() for pairs in groups] == [runs[i] for i in generator.permutation(5)]


@pytest.mark.parametrize(
    ("one", "other"),
    [(("a", 1, 2), ("b", 1, 2)), (("a", 1, 2), ("a", 2, 1)), (("a", 1, 2), ("a", 1, 3))],
)
def test_streams_of_other_uses_and_keys_differ(one, other):
    assert stream_seed(*one) != stream_seed(*other)
    assert random.Random(stream_seed(*one)).random() != random.Random(stream_seed(*other)).random()
