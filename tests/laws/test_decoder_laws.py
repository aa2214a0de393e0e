"""Laws of the whole model: every decoder x score, with LSTM or GRU, in one or two layers."""

import hashlib
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import (
    ATTENTIVE,
    CELLS,
    EVERY_KIND,
    LUONG,
    REAL_IDS,
    Ids,
    padded,
    stepped,
    tiny_model,
)
from torch import Tensor

from seq2seq.batch import EOS, PAD
from seq2seq.config import SearchConfig
from seq2seq.decoders.contract import Unrolled
from seq2seq.losses import batch_loss
from seq2seq.model import EncoderDecoder
from seq2seq.search.translation import force, translate_ids

every_kind = pytest.mark.parametrize("kind", EVERY_KIND, ids=str)
every_attention = pytest.mark.parametrize("kind", ATTENTIVE, ids=str)
some = settings(max_examples=8)
few = settings(max_examples=4)

cells, layers, seeds = st.sampled_from(CELLS), st.integers(1, 2), st.integers(0, 2**16)
sentences = st.lists(st.sampled_from(REAL_IDS), min_size=1, max_size=6)
Pairs = Sequence[tuple[Ids, Ids]]
pair_lists = st.lists(st.tuples(sentences, sentences), min_size=1, max_size=4)
TYPES = {torch.float32: 1e-6, torch.float64: 1e-12}  # how far rounding alone may lead
types = st.sampled_from(list(TYPES))


@torch.no_grad()
def unrolled(model: EncoderDecoder, pairs: Pairs, *, wider: int = 0, longer: int = 0) -> Unrolled:
    return model.unroll(padded(pairs, wider=wider, longer=longer))


def assert_rows_close(ours: Unrolled, theirs: Unrolled, atol: float) -> None:
    """Equal where both have steps and places; nothing beyond."""
    t = min(ours.readouts.shape[1], theirs.readouts.shape[1])
    torch.testing.assert_close(ours.readouts[:, :t], theirs.readouts[:, :t], rtol=0, atol=atol)
    assert (ours.weights is None) == (theirs.weights is None)
    if ours.weights is not None and theirs.weights is not None:
        s = min(ours.weights.shape[2], theirs.weights.shape[2])
        torch.testing.assert_close(
            ours.weights[:, :t, :s], theirs.weights[:, :t, :s], rtol=0, atol=atol
        )
        assert not ours.weights[:, :t, s:].any() and not theirs.weights[:, :t, s:].any()


@every_attention
@some
@given(pair_lists, cells, layers, types, seeds)
def test_weights_sum_to_one_over_the_source(kind, pairs, cell, layers, dtype, seed):
    model = tiny_model(kind, cell=cell, layers=layers, dtype=dtype, seed=seed)
    weights = unrolled(model, pairs).weights
    torch.testing.assert_close(
        weights.sum(-1), torch.ones(weights.shape[:2], dtype=dtype), rtol=0, atol=TYPES[dtype]
    )
    for row, (source, _) in enumerate(pairs):
        assert not weights[row, :, len(source) + 1 :].any()  # exactly 0 behind EOS


@every_kind
@some
@given(pair_lists, st.integers(1, 9), cells, layers, types, seeds)
def test_more_padding_in_the_sources_changes_no_bit(kind, pairs, wider, cell, layers, dtype, seed):
    model = tiny_model(kind, cell=cell, layers=layers, dtype=dtype, seed=seed)
    narrow, wide = padded(pairs), padded(pairs, wider=wider)
    with torch.no_grad():
        memory = model.encode(narrow.source_ids, narrow.source_lengths)
        padded_more = model.encode(wide.source_ids, wide.source_lengths)
    for name in ("values", "mask", "summary", "keys"):
        ours, theirs = getattr(memory, name), getattr(padded_more, name)
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)
    ours, theirs = unrolled(model, pairs), unrolled(model, pairs, wider=wider)
    assert torch.equal(ours.readouts, theirs.readouts)
    assert ours.weights is None or torch.equal(ours.weights, theirs.weights)


@every_kind
@some
@given(pair_lists, st.integers(1, 9), cells, layers, types, seeds)
def test_more_padding_in_the_targets_changes_nothing(
    kind, pairs, longer, cell, layers, dtype, seed
):
    # Not to the bit: products over more rows may be summed in another order.
    model = tiny_model(kind, cell=cell, layers=layers, dtype=dtype, seed=seed)
    ours, theirs = unrolled(model, pairs), unrolled(model, pairs, longer=longer)
    assert_rows_close(ours, theirs, TYPES[dtype])


@every_kind
@some
@given(pair_lists, cells, layers, types, seeds)
def test_a_batch_is_its_sentences_one_by_one(kind, pairs, cell, layers, dtype, seed):
    model = tiny_model(kind, cell=cell, layers=layers, dtype=dtype, seed=seed)
    together = unrolled(model, pairs)
    for row, pair in enumerate(pairs):
        alone = unrolled(model, [pair])
        weights = None if together.weights is None else together.weights[row : row + 1]
        assert_rows_close(alone, Unrolled(together.readouts[row : row + 1], weights), TYPES[dtype])


@every_kind
@some
@given(pair_lists, st.randoms(use_true_random=False), cells, layers, seeds)
def test_a_batch_in_another_order_gives_its_results_in_that_order(
    kind, pairs, chance, cell, layers, seed
):
    model = tiny_model(kind, cell=cell, layers=layers, seed=seed)
    order = list(range(len(pairs)))
    chance.shuffle(order)
    ours, moved = unrolled(model, pairs), unrolled(model, [pairs[i] for i in order])
    weights = None if ours.weights is None else ours.weights[order]
    assert_rows_close(Unrolled(ours.readouts[order], weights), moved, 1e-12)


@every_kind
@some
@given(pair_lists, cells, layers, seeds)
def test_unrolling_is_starting_and_stepping(kind, pairs, cell, layers, seed):
    model = tiny_model(kind, cell=cell, layers=layers, seed=seed)
    with torch.no_grad():
        steps = Unrolled(*stepped(model, padded(pairs)))
    assert_rows_close(unrolled(model, pairs), steps, 1e-10)


@every_kind
@some
@given(sentences, sentences, st.data(), cells, layers, seeds)
def test_no_step_sees_what_is_written_after_it(kind, source, target, data, cell, layers, seed):
    model = tiny_model(kind, cell=cell, layers=layers, seed=seed)
    t = data.draw(st.integers(0, len(target) - 1))  # the first target id that changes
    other = [*target[:t], *data.draw(st.lists(st.sampled_from(REAL_IDS), min_size=1, max_size=6))]
    ours, theirs = unrolled(model, [(source, target)]), unrolled(model, [(source, other)])
    before = t + 1  # readouts: of BOS and of t ids
    torch.testing.assert_close(
        ours.readouts[:, :before], theirs.readouts[:, :before], rtol=0, atol=1e-12
    )
    if t + 1 < min(len(target), len(other)) + 1 and target[t] != other[t]:
        assert not torch.equal(ours.readouts[:, t + 1], theirs.readouts[:, t + 1])


@every_kind
@some
@given(
    st.lists(st.tuples(sentences, sentences), min_size=2, max_size=4),
    st.data(),
    cells,
    layers,
    seeds,
)
def test_select_moves_everything_a_step_needs(kind, pairs, data, cell, layers, seed):
    """Selecting rows and stepping is stepping and selecting rows; rows may be repeated."""
    model = tiny_model(kind, cell=cell, layers=layers, seed=seed)
    batch = padded(pairs)
    rows = torch.tensor(data.draw(st.lists(st.integers(0, len(pairs) - 1), min_size=1, max_size=6)))
    with torch.no_grad():
        memory = model.encode(batch.source_ids, batch.source_lengths)
        state = model.decoder.start(memory)
        for previous in batch.decoder_input[:, :2].unbind(1):  # so that no state is a first one
            state = model.decoder.step(previous, state, memory).state
        ids = batch.decoder_input[:, -1]
        whole = model.decoder.step(ids, state, memory)
        chosen = model.decoder.step(ids[rows], state.select(rows), memory.select(rows))
    torch.testing.assert_close(whole.readout[rows], chosen.readout, rtol=0, atol=1e-12)
    if whole.weights is not None:
        torch.testing.assert_close(whole.weights[rows], chosen.weights, rtol=0, atol=1e-12)
    for ours, theirs in zip(tensors_of(whole.state), tensors_of(chosen.state), strict=True):
        torch.testing.assert_close(ours[rows], theirs, rtol=0, atol=1e-12)
    expected = layers * (2 if cell == "lstm" else 1) + (state.fed is not None)
    assert len(tensors_of(state.select(rows))) == expected
    for ours, theirs in zip(tensors_of(state), tensors_of(state.select(rows)), strict=True):
        assert torch.equal(ours[rows], theirs)


def tensors_of(state) -> list[Tensor]:
    found = [t for layer in state.layers for t in (layer.hidden, layer.cell) if t is not None]
    return found if state.fed is None else [*found, state.fed]


@every_kind
@pytest.mark.parametrize("dropped", ["dropout", "embedding_dropout"])
def test_dropout_is_for_training_alone(kind, dropped):
    model = tiny_model(kind, layers=2, **{dropped: 0.5})
    pairs = [([5, 6], [7, 8]), ([9], [10])]
    first = unrolled(model, pairs)
    assert torch.equal(first.readouts, unrolled(model, pairs).readouts)
    assert torch.equal(first.readouts, unrolled(tiny_model(kind, layers=2), pairs).readouts)
    model.train()
    torch.manual_seed(1)
    noisy = unrolled(model, pairs)
    assert not torch.equal(first.readouts, noisy.readouts)
    torch.manual_seed(1)
    assert torch.equal(noisy.readouts, unrolled(model, pairs).readouts)


@every_kind
@few
@given(pair_lists, cells, layers, st.sampled_from([torch.float16, torch.bfloat16]), seeds)
def test_half_precision_stays_finite_and_masked(kind, pairs, cell, layers, dtype, seed):
    model = tiny_model(kind, cell=cell, layers=layers, dtype=dtype, seed=seed)
    readouts, weights = unrolled(model, pairs)
    assert readouts.dtype == dtype and readouts.isfinite().all()
    if weights is not None:
        assert weights.isfinite().all()
        for row, (source, _) in enumerate(pairs):
            assert not weights[row, :, len(source) + 1 :].any()


# Search on the real model


def sure_of_ending(model: EncoderDecoder, *, eos: float = 1.0) -> EncoderDecoder:
    """The same model, likelier to write EOS, so that most hypotheses end."""
    with torch.no_grad():
        model.output.vocabulary.bias[EOS] += eos
    return model


@every_kind
@some
@given(pair_lists, cells, layers, seeds)
def test_forcing_a_target_gives_its_loss(kind, pairs, cell, layers, seed):
    model = tiny_model(kind, cell=cell, layers=layers, seed=seed)
    forced = [force(model, source, target) for source, target in pairs]
    with torch.no_grad():
        loss = batch_loss(model, padded(pairs))
        weights = model.unroll(padded(pairs)).weights
    total = -sum(hypothesis.log_probability for hypothesis in forced)
    assert loss.nats.item() == pytest.approx(total, rel=1e-10)
    for row, (hypothesis, (source, target)) in enumerate(zip(forced, pairs, strict=True)):
        assert hypothesis.ids == (*target, EOS)
        if weights is not None:
            rows, columns = len(target) + 1, len(source) + 1
            assert hypothesis.weights.shape == (rows, columns)
            torch.testing.assert_close(
                hypothesis.weights, weights[row, :rows, :columns], rtol=0, atol=1e-10
            )


@every_kind
@few
@given(st.lists(sentences, min_size=1, max_size=5), cells, layers, types, seeds)
def test_forcing_the_best_hypothesis_gives_it_back(kind, sources, cell, layers, dtype, seed):
    model = sure_of_ending(
        tiny_model(kind, cell=cell, layers=layers, dtype=dtype, seed=seed), eos=3.0
    )
    found = translate_ids(model, sources, SearchConfig(beam=3), n_best=2)
    for source, hypotheses in zip(sources, found, strict=True):
        for hypothesis in hypotheses:
            if hypothesis.ids[-1] != EOS:
                continue  # cut at the longest length: what force adds was never searched
            forced = force(model, source, hypothesis.ids[:-1])
            assert forced.ids == hypothesis.ids
            assert forced.log_probability == pytest.approx(
                hypothesis.log_probability, abs=1e-6 * len(forced.ids)
            )
            if hypothesis.weights is not None:
                torch.testing.assert_close(forced.weights, hypothesis.weights, rtol=0, atol=1e-6)


@every_kind
@few
@given(st.lists(sentences, min_size=1, max_size=6), st.integers(1, 4), cells, layers, seeds)
def test_a_translation_does_not_depend_on_its_batch(kind, sources, beam, cell, layers, seed):
    model = sure_of_ending(tiny_model(kind, cell=cell, layers=layers, seed=seed))
    together = translate_ids(model, sources, SearchConfig(beam=beam))
    for batch_sentences in (1, 2):
        config = SearchConfig(beam=beam, batch_sentences=batch_sentences)
        apart = translate_ids(model, sources, config)
        for (ours,), (theirs,), source in zip(together, apart, sources, strict=True):
            assert ours.ids == theirs.ids
            assert ours.score == pytest.approx(theirs.score, abs=1e-10)
            if ours.weights is not None:
                assert ours.weights.shape == (len(ours.ids), len(source) + 1)
                torch.testing.assert_close(ours.weights, theirs.weights, rtol=0, atol=1e-10)


@every_kind
@few
@given(st.lists(sentences, min_size=1, max_size=5), cells, layers, seeds)
def test_a_beam_of_one_is_greedy_search(kind, sources, cell, layers, seed):
    model = sure_of_ending(tiny_model(kind, cell=cell, layers=layers, seed=seed))
    greedy = translate_ids(model, sources, SearchConfig(beam=1))
    for (hypothesis,), source in zip(greedy, sources, strict=True):
        ids, logits = walked(model, source, longest=int(2.0 * len(source)) + 20)
        assert hypothesis.ids == ids
        assert hypothesis.log_probability == pytest.approx(logits, abs=1e-9)
        assert not {PAD, 1, 2} & set(hypothesis.ids)


def walked(model: EncoderDecoder, source: Ids, *, longest: int) -> tuple[tuple[int, ...], float]:
    """Greedy search as a plain loop: the whole prefix is read again for every id."""
    ids: list[int] = []
    total = 0.0
    while len(ids) < longest and ids[-1:] != [EOS]:
        with torch.no_grad():
            readouts = model.unroll(padded([(source, ids)])).readouts[0, len(ids)]
            log_probabilities = model.logits(readouts).log_softmax(-1)
        allowed = log_probabilities.clone()
        allowed[:3] = -torch.inf  # padding, unknown, BOS
        ids.append(int(allowed.argmax()))
        total += log_probabilities[ids[-1]].item()
    return tuple(ids), total


def test_translating_leaves_the_weights_alone():
    model = tiny_model(LUONG[0])

    def digest() -> str:
        state = hashlib.sha256()
        for parameter in model.parameters():
            state.update(parameter.detach().numpy().tobytes())
        return state.hexdigest()

    before = digest()
    translate_ids(model, [[5, 6], [7]], SearchConfig())
    force(model, [5, 6], [7])
    assert digest() == before
