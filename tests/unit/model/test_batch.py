"""Batches as values: one change to all tensors, padding to a size, copies in place."""

from dataclasses import replace

import torch
from tiny import padded

from seq2seq.batch import EOS, PAD, Batch

PAIRS = [([5, 6, 7, 8], [8, 9]), ([10], [5])]


def tensors(batch: Batch) -> list[torch.Tensor]:
    found = [batch.source.ids, batch.source.lengths, batch.target_ids]
    others = [batch.decoder_input_ids, batch.known_nonpad_positions]
    return found + [each for each in others if each is not None]


def test_a_change_reaches_every_tensor_and_nothing_else():
    batch = padded(PAIRS)
    for whole in (
        batch,
        replace(
            batch, decoder_input_ids=batch.labels, known_nonpad_positions=batch.nonpad_positions
        ),
    ):
        changed = whole.map(lambda tensor: tensor + 1)
        assert len(tensors(changed)) == len(tensors(whole))
        for new, old in zip(tensors(changed), tensors(whole), strict=True):
            assert new.equal(old + 1)
        assert (changed.lines, changed.position) == (whole.lines, whole.position)


def test_a_change_can_take_the_tensors_of_several_batches():
    one, other = padded(PAIRS), padded([([4, 4, 4, 4], [4, 4]), ([4], [4])])
    both = one.map(torch.add, other)
    for found, first, second in zip(*map(tensors, (both, one, other)), strict=True):
        assert found.equal(first + second)


def test_the_tokens_of_a_batch_are_the_labels_that_are_not_padding():
    batch = padded(PAIRS, longer=3)
    assert batch.target_tokens == 5  # 8 9 EOS and 5 EOS
    assert batch.labels.flatten()[batch.nonpad_positions].tolist() == [8, 9, EOS, 5, EOS]


def test_a_batch_is_padded_on_the_right_and_below():
    batch = padded(PAIRS)
    filled = batch.padded_to(3, 7, 4)
    assert filled.source.ids.tolist() == [
        [5, 6, 7, 8, EOS, PAD, PAD],
        [10, EOS, PAD, PAD, PAD, PAD, PAD],
        [EOS, EOS, PAD, PAD, PAD, PAD, PAD],
    ]
    assert filled.source.lengths.tolist() == [5, 2, 2]
    assert filled.labels.tolist() == [[8, 9, EOS, PAD], [5, EOS, PAD, PAD], [PAD] * 4]
    assert filled.target_tokens == batch.target_tokens
    assert filled.position == batch.position
    assert batch.source.ids.shape == (2, 5)  # as it was


def test_other_decoder_inputs_are_padded_with_their_batch():
    batch = padded(PAIRS)
    mixed = replace(batch, decoder_input_ids=batch.decoder_input + 1).padded_to(3, 7, 4)
    assert mixed.decoder_input.tolist() == [[3, 9, 10, PAD], [3, 6, 4, PAD], [PAD] * 4]
    assert mixed.labels.equal(batch.padded_to(3, 7, 4).labels)


def test_a_batch_is_overwritten_in_place():
    batch, other = padded(PAIRS), padded([([4, 4, 4, 4], [4, 4]), ([4], [4])])
    before = tensors(batch)
    batch.copy_from(other)
    for old, new, wanted in zip(before, tensors(batch), tensors(other), strict=True):
        assert old is new and new.equal(wanted) and new is not wanted
