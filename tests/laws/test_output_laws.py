"""A model of some output ids is the model of all of them with the others' logits at -inf."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from combinations import model_configs
from hypothesis import given, settings
from hypothesis import strategies as st
from searching import forced, translate
from tiny import EVERY_KIND, LUONG, REAL_IDS, VOCABULARY, model_of, padded, tiny_model
from torch import Tensor

from seq2seq.batch import EOS, Batch
from seq2seq.config import SearchConfig
from seq2seq.model import EncoderDecoder
from seq2seq.training.cuda_graphs import BatchBucket
from seq2seq.training.losses import batch_loss, padded_loss
from seq2seq.training.scheduled_sampling import sample_decoder_input, sampling_generator

EXACT, SINGLE = {"rtol": 1e-12, "atol": 1e-12}, {"rtol": 1e-6, "atol": 1e-6}
OUTPUT_IDS = [EOS, 5, 6, 8, 10]
PAIRS = [([5, 6, 7], [8, 6, 5, 5]), ([10], [5]), ([4, 5], [6, 10])]
SOURCES = [[5, 6, 7], [8], [9, 10, 4, 5, 6, 7], [4, 4]]

some_ids = st.sets(st.sampled_from([1, *REAL_IDS]), min_size=1, max_size=7).map(
    lambda ids: sorted({EOS, *ids})
)


@st.composite
def pairs_in(draw: st.DrawFn, ids: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """One to three pairs, whose targets have these ids alone."""
    sources = st.lists(st.sampled_from(REAL_IDS), min_size=1, max_size=4)
    inner = [id_ for id_ in ids if id_ != EOS]
    targets = st.lists(st.sampled_from(inner), min_size=1, max_size=4)
    return draw(st.lists(st.tuples(sources, targets), min_size=1, max_size=3))


def masked_loss(
    model: EncoderDecoder, batch: Batch, ids: Sequence[int], smoothing: float
) -> tuple[Tensor, Tensor]:
    """The likelihood and the loss smoothed over `ids` of a model of all ids, the others at -inf."""
    readouts, _, bias = model.unroll(batch)
    logits = model.logits(readouts, bias).flatten(0, 1)[batch.nonpad_positions]
    masked = logits.index_fill(1, torch.tensor(absent(ids)), -torch.inf)
    log_probabilities = masked.log_softmax(1)[:, ids]  # [P, V']
    columns = [ids.index(id_) for id_ in batch.labels.flatten()[batch.nonpad_positions].tolist()]
    nll = -log_probabilities[range(len(columns)), columns].sum()
    return nll, (1 - smoothing) * nll - smoothing * log_probabilities.mean(1).sum()


def absent(ids: Sequence[int]) -> list[int]:
    return [id_ for id_ in range(VOCABULARY) if id_ not in ids]


def assert_same_loss(
    some: EncoderDecoder,
    every: EncoderDecoder,
    batch: Batch,
    ids: Sequence[int],
    smoothing: float,
    close: dict[str, float] = EXACT,
) -> None:
    """The losses and the gradients of all parameters, of a batch as it is and filled up."""
    some.zero_grad()
    every.zero_grad()
    nll, smoothed = masked_loss(every, batch, ids, smoothing)
    smoothed.backward()
    expected = {name: parameter.grad for name, parameter in every.named_parameters()}
    filled = batch.padded_to(*BatchBucket.for_batch(batch))
    for loss in (
        batch_loss(some, batch, smoothing=smoothing),
        padded_loss(some, filled, smoothing=smoothing),
    ):
        some.zero_grad()
        loss.objective.backward()
        torch.testing.assert_close(loss.nll, nll, **close)
        torch.testing.assert_close(loss.objective, smoothed, **close)
        for name, parameter in some.named_parameters():
            torch.testing.assert_close(parameter.grad, expected[name], **close, msg=name)


@settings(max_examples=40)
@given(st.data(), st.sampled_from(EVERY_KIND), some_ids, st.sampled_from([0.0, 0.1]))
def test_the_loss_and_its_gradient_are_those_of_masked_logits(data, kind, ids, smoothing):
    config = data.draw(model_configs(kind, zoneout=0.0))
    some, every = model_of(config, output_ids=ids), model_of(config)
    assert_same_loss(some, every, padded(data.draw(pairs_in(ids))), ids, smoothing)


@pytest.mark.parametrize("close", [EXACT, SINGLE], ids=["float64", "float32"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("tied", ["none", "decoder", "all"])
@pytest.mark.parametrize("width", [5, 7])  # that of the embeddings, or wider: made narrow
def test_every_output_layer_may_have_fewer_ids(width, tied, bias, smoothing, close):
    choices: dict[str, Any] = {
        "tie_embeddings": tied,
        "output_bias": bias,
        "readout_size": width,
        "dtype": torch.float64 if close is EXACT else torch.float32,
    }
    some = tiny_model(LUONG[0], output_ids=OUTPUT_IDS, **choices)
    assert (some.output.narrow is not None) == (tied != "none" and width == 7)
    assert_same_loss(
        some, tiny_model(LUONG[0], **choices), padded(PAIRS), OUTPUT_IDS, smoothing, close
    )


def test_ids_that_are_no_output_get_no_gradient_from_an_output_layer_of_its_own():
    model = tiny_model(LUONG[0], output_ids=OUTPUT_IDS)
    batch_loss(model, padded(PAIRS), smoothing=0.1).objective.backward()
    for gradient in (model.output.vocabulary.weight.grad, model.output.vocabulary.bias.grad):
        rows = gradient.reshape(VOCABULARY, -1).any(1).nonzero().flatten().tolist()
        assert rows == OUTPUT_IDS


def test_a_label_that_is_no_output_id_is_refused():
    model = tiny_model(LUONG[0], output_ids=OUTPUT_IDS)
    with pytest.raises((RuntimeError, IndexError), match="out of bounds"):
        batch_loss(model, padded([([5], [7])]))


def masked_model(kind: Any, ids: Sequence[int], **choices: Any) -> EncoderDecoder:
    """A model of all ids, in which all but some have logit -inf."""
    model = tiny_model(kind, **choices)
    with torch.no_grad():
        model.output.vocabulary.bias[absent(ids)] = -torch.inf
    return model


@settings(max_examples=40)
@given(
    st.sampled_from(EVERY_KIND),
    some_ids,
    st.integers(1, 4),
    st.sampled_from(["none", "decoder", "all"]),
    st.integers(0, 99),
    st.data(),
)
def test_search_finds_what_it_finds_with_masked_logits(kind, ids, beam, tied, seed, data):
    config = SearchConfig(beam=beam, max_length_factor=0.5)
    choices = {"seed": seed, "tie_embeddings": tied}
    n_best = data.draw(st.integers(1, beam))
    some = translate(tiny_model(kind, output_ids=ids, **choices), SOURCES, config, n_best=n_best)
    every = translate(masked_model(kind, ids, **choices), SOURCES, config, n_best=n_best)
    for found, expected in zip(some, every, strict=True):
        assert [each.ids for each in found] == [each.ids for each in expected]
        assert {id_ for each in found for id_ in each.ids} <= {*ids}
        for one, other in zip(found, expected, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-9)
            assert one.log_probability == pytest.approx(other.log_probability, abs=1e-9)
            if one.weights is not None:
                torch.testing.assert_close(one.weights, other.weights, **EXACT)


@given(st.sampled_from(EVERY_KIND), some_ids, st.data())
def test_a_given_target_is_as_likely_as_with_masked_logits(kind, ids, data):
    ((source, target),) = data.draw(pairs_in(ids).map(lambda pairs: pairs[:1]))
    some = forced(tiny_model(kind, output_ids=ids), source, target)
    every = forced(masked_model(kind, ids), source, target)
    assert some.ids == every.ids
    assert some.log_probability == pytest.approx(every.log_probability, abs=1e-9)


@given(st.sampled_from(EVERY_KIND), some_ids, st.data())
def test_predictions_for_the_decoder_are_those_of_masked_logits(kind, ids, data):
    if not {*ids} & {*REAL_IDS}:
        return  # nothing can be predicted
    batch = padded(data.draw(pairs_in(ids)))
    some, every = (
        sample_decoder_input(model, batch, 0.7, sampling_generator(1, 1)).decoder_input
        for model in (tiny_model(kind, output_ids=ids), masked_model(kind, ids))
    )
    assert torch.equal(some, every)


def test_a_model_of_all_ids_is_the_model_it_always_was():
    every = tiny_model(LUONG[0], output_ids=range(VOCABULARY))
    plain, batch = tiny_model(LUONG[0]), padded(PAIRS)
    assert every.state_dict().keys() == plain.state_dict().keys()
    assert torch.equal(batch_loss(every, batch).nll, batch_loss(plain, batch).nll)
