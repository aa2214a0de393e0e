"""Batches that are searched beside each other in threads."""

import threading

import pytest
import torch
from tiny import LUONG, tiny_model

from seq2seq.config import SearchConfig
from seq2seq.kernels.products import PackedProducts, active_products
from seq2seq.search.inference import SingleModel
from seq2seq.search.threads import in_threads
from seq2seq.search.translation import translate_ids

SOURCES = [[4 + (i * j) % 7 for j in range(1 + i * 5 % 9)] for i in range(40)]


@pytest.mark.parametrize("threads", [1, 3])
def test_items_keep_their_order_their_products_and_one_thread_of_torch(threads):
    products, before, together = PackedProducts("bfloat16"), torch.get_num_threads(), []

    def square(number):
        together.append((threading.get_ident(), torch.get_num_threads(), active_products()))
        return number * number

    with products.active():
        assert in_threads(square, range(20), threads) == [i * i for i in range(20)]
    assert all(each[1:] == (1, products) for each in together)
    assert threading.get_ident() in {each[0] for each in together} or threads > 1
    assert torch.get_num_threads() == before


def test_items_are_worked_on_at_the_same_time():
    meeting = threading.Barrier(2, timeout=30)
    in_threads(lambda _: meeting.wait(), range(2), 2)  # alone, one would wait in vain


def test_an_error_in_a_thread_is_raised():
    def fail(number):
        if number == 1:
            raise ValueError("number 1")

    with pytest.raises(ValueError, match="number 1"):
        in_threads(fail, range(3), 2)
    assert torch.get_num_threads() == 1


SETTINGS = [{"beam": 1}, {"beam": 3}, {"sample": True, "seed": 5}]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_threads_change_no_translation(settings):
    model, config = SingleModel(tiny_model(LUONG[4])), SearchConfig(**settings)
    alone = translate_ids(model, SOURCES, config, n_best=2)
    together = translate_ids(model, SOURCES, config, n_best=2, threads=4)
    for ours, theirs in zip(together, alone, strict=True):
        assert [each.ids for each in ours] == [each.ids for each in theirs]
        for one, other in zip(ours, theirs, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-9)
            torch.testing.assert_close(one.weights, other.weights)
