"""The model as it is put together."""

import pytest
import torch

from seq2seq.batch import BOS, EOS, FIRST_BATCH, PAD, Batch, Source, pad_sources
from seq2seq.building import build_model
from seq2seq.config import ModelConfig
from seq2seq.model import count_parameters

SIZES = {"embedding_size": 8, "encoder_size": 4, "decoder_size": 8, "attention_size": 5}
BATCH = Batch(
    source=pad_sources([[5, 6, 7], [8]]),
    target_ids=torch.tensor([[BOS, 5, 6, EOS], [BOS, 9, EOS, PAD]]),
    lines=(1, 2),
    position=FIRST_BATCH,
)


def built(**settings):
    config = ModelConfig(**(SIZES | settings))
    return build_model(config, source_vocabulary=12, target_vocabulary=12, joint=True).eval()


@pytest.mark.parametrize("attention", ["luong", "bahdanau", "conditional"])
def test_without_attend_eos_attention_does_not_attend_to_the_end_of_the_source(attention):
    weights = built(attention=attention, attend_eos=False).unroll(BATCH).weights
    assert (weights[0, ..., 3] == 0).all() and (weights[1, ..., 1:] == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 1, 3))
    assert (built(attention=attention).unroll(BATCH).weights[0, ..., 3] > 0).all()


@pytest.mark.parametrize(("layers", "attended"), [(1, [3, 1]), (2, [2, 1]), (3, [1, 1])])
def test_without_attend_eos_every_pyramid_state_with_a_word_is_attended_to(layers, attended):
    config = {"encoder": "pyramid", "encoder_layers": layers, "attend_eos": False}
    memory = built(**config).encode(BATCH.source)
    assert memory.mask.sum(1).tolist() == attended  # of 3 and of 1 word


def test_without_encode_eos_a_source_is_its_words():
    model = built(encode_eos=False)
    memory = model.encode(BATCH.source)
    assert memory.mask.sum(1).tolist() == [3, 1] and not memory.values[~memory.mask].any()
    other = BATCH.source.ids.clone()
    other[0, 3] = other[1, 1] = 9
    again = model.encode(Source(other, BATCH.source.lengths))
    assert torch.equal(memory.values, again.values)
    assert torch.equal(memory.summary, again.summary)


def test_tied_embeddings_are_one_matrix():
    separate = count_parameters(built(tie_embeddings="none", readout_size=8))
    assert separate - count_parameters(built(tie_embeddings="decoder", readout_size=8)) == 12 * 8
    assert separate - count_parameters(built(tie_embeddings="all", readout_size=8)) == 2 * 12 * 8


def test_a_readout_of_another_width_is_mapped_to_the_embedding():
    wide = built(readout_size=20)
    assert wide.output.narrow.weight.shape == (8, 20)
    assert wide.logits(torch.zeros(3, 20)).shape == (3, 12)
    assert built(readout_size=8).output.narrow is None
