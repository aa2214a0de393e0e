"""Entropy and order of attention, worked out by hand."""

import math

import numpy as np
import pytest

from seq2seq.evaluation.attention_shape import attention_shape


def test_entropy_and_order_are_means_over_all_target_pieces():
    first = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])  # log 2 in one of three; 0, 0, 1
    second = np.array([[0.0, 1.0], [1.0, 0.0]])  # steps back
    shape = attention_shape([first, second])
    assert shape is not None
    assert shape.entropy == pytest.approx(math.log(2) / 5)
    assert shape.monotonicity == pytest.approx(2 / 3)


def test_a_sentence_of_one_piece_has_no_step():
    shape = attention_shape([np.array([[0.5, 0.5]])])
    assert shape is not None and shape.monotonicity == 1.0


def test_nothing_has_no_shape():
    assert attention_shape([]) is None
    assert attention_shape([np.zeros((0, 3))]) is None
