"""Laws of the whole model: every order of attention x every score, all other axes drawn."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from combinations import model_configs
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from searching import forced, translate
from tiny import (
    LUONG,
    ORDER_AND_SCORE,
    PLAIN,
    REAL_IDS,
    Ids,
    model_of,
    padded,
    stepped,
    tensors_of,
    tiny_model,
)

from seq2seq.batch import BOS, EOS, PAD
from seq2seq.config import ModelConfig, SearchConfig
from seq2seq.decoders.contract import UnrollOutput
from seq2seq.model import EncoderDecoder, Unrolled
from seq2seq.recurrent import cells as recurrent_cells
from seq2seq.training.losses import batch_loss

every_kind = pytest.mark.parametrize("kind", [*PLAIN, *ORDER_AND_SCORE], ids=str)
every_attention = pytest.mark.parametrize("kind", ORDER_AND_SCORE, ids=str)
some = examples(3)
few = examples(2)

anything = st.data()
seeds = st.integers(0, 2**16)
sentences = st.lists(st.sampled_from(REAL_IDS), min_size=1, max_size=6)
Pairs = Sequence[tuple[Ids, Ids]]
pair_lists = st.lists(st.tuples(sentences, sentences), min_size=1, max_size=4)
TYPES = {torch.float32: 1e-6, torch.float64: 1e-12}  # how far rounding alone may lead
types = st.sampled_from(list(TYPES))
NORMALISED = 100  # how far layer normalisation, a division by a spread, may stretch rounding


Steps = Unrolled | UnrollOutput


@pytest.fixture(autouse=True, scope="module")
def few_rows_may_be_equal():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recurrent_cells, "_FEWEST_ROWS", 0)
        yield


@torch.no_grad()
def unrolled(model: EncoderDecoder, pairs: Pairs, *, wider: int = 0, longer: int = 0) -> Unrolled:
    return model.unroll(padded(pairs, wider=wider, longer=longer))


def assert_rows_close(ours: Steps, theirs: Steps, atol: float) -> None:
    """Equal at the steps and positions that both have; zero beyond."""
    t = min(ours.readouts.shape[1], theirs.readouts.shape[1])
    torch.testing.assert_close(ours.readouts[:, :t], theirs.readouts[:, :t], rtol=0, atol=atol)
    assert (ours.weights is None) == (theirs.weights is None)
    if ours.weights is not None and theirs.weights is not None:
        s = min(ours.weights.shape[3], theirs.weights.shape[3])
        torch.testing.assert_close(
            ours.weights[:, :, :t, :s], theirs.weights[:, :, :t, :s], rtol=0, atol=atol
        )
        assert not ours.weights[..., s:].any() and not theirs.weights[..., s:].any()


def rounding(config: ModelConfig, dtype: torch.dtype) -> float:
    cells = (config.cell, config.decoder_cell)
    own_states = config.encoder_self_attention or config.decoder_self_attention
    stretched = "lstm_layer_norm" in cells or own_states
    return TYPES[dtype] * (NORMALISED if stretched else 1)


def drawn_model(data: st.DataObject, kind: Any, **how: Any) -> tuple[ModelConfig, EncoderDecoder]:
    config = data.draw(model_configs(kind), label="model")
    return config, model_of(config, seed=data.draw(seeds, label="seed"), **how)


def states_of(config: ModelConfig, source: Ids) -> int:
    """How many states of a source attention may attend to."""
    stride = 2 ** (config.encoder_layers - 1) if config.encoder == "pyramid" else 1
    return -(-(len(source) + (config.attend_eos and config.encode_eos)) // stride)


def allowed_positions(config: ModelConfig, source: Ids, step: int) -> list[int]:
    """The positions, from 0, that attention at a step, counted from 1, may attend to.

    Where local-p puts its window is the model's own affair.
    """
    positions = range(states_of(config, source))
    if config.score == "location":
        positions = positions[: config.location_positions]
    centre = min(step, states_of(config, source))
    near = config.scope != "local_m"
    return [s for s in positions if near or abs(s + 1 - centre) <= config.window]


@every_attention
@some
@given(anything, pair_lists, types)
def test_weights_sum_to_one_over_what_may_be_attended_to_and_are_zero_elsewhere(
    kind, data, pairs, dtype
):
    config, model = drawn_model(data, kind, dtype=dtype)
    weights = unrolled(model, pairs).weights
    assert weights.shape[1] == config.heads
    assert (weights >= 0).all()
    for row, (source, _) in enumerate(pairs):
        for step, heads in enumerate(weights[row].unbind(1), start=1):  # [N, S]
            allowed = allowed_positions(config, source, step)
            total = heads[:, allowed].sum(-1)
            expected = torch.full_like(total, float(bool(allowed)))
            if config.scope == "local_p":
                assert (total <= expected + TYPES[dtype]).all()
            else:
                torch.testing.assert_close(total, expected, rtol=0, atol=TYPES[dtype])
            hidden = [s for s in range(heads.shape[-1]) if s not in allowed]
            assert not heads[:, hidden].any()  # exactly 0


@every_kind
@some
@given(anything, pair_lists, st.integers(1, 9), types)
def test_more_padding_in_the_sources_changes_no_bit(kind, data, pairs, wider, dtype):
    _, model = drawn_model(data, kind, dtype=dtype)
    narrow, wide = padded(pairs), padded(pairs, wider=wider)
    with torch.no_grad():
        memory = tensors_of(model.encode(narrow.source))
        padded_more = tensors_of(model.encode(wide.source))
    assert len(memory) >= 4
    for ours, theirs in zip(memory, padded_more, strict=True):
        assert torch.equal(ours, theirs)
    ours, theirs = unrolled(model, pairs), unrolled(model, pairs, wider=wider)
    assert torch.equal(ours.readouts, theirs.readouts)
    assert ours.weights is None or torch.equal(ours.weights, theirs.weights)


@every_kind
@some
@given(anything, pair_lists, st.integers(1, 9), types)
def test_more_padding_in_the_targets_changes_nothing(kind, data, pairs, longer, dtype):
    # Not to the bit: products over more rows may be summed in another order.
    config, model = drawn_model(data, kind, dtype=dtype)
    ours, theirs = unrolled(model, pairs), unrolled(model, pairs, longer=longer)
    assert_rows_close(ours, theirs, rounding(config, dtype))


@every_kind
@some
@given(anything, pair_lists, types)
def test_a_batch_is_its_sentences_one_by_one(kind, data, pairs, dtype):
    config, model = drawn_model(data, kind, dtype=dtype)
    together = unrolled(model, pairs)
    for row, pair in enumerate(pairs):
        alone = unrolled(model, [pair])
        weights = None if together.weights is None else together.weights[row : row + 1]
        whole = UnrollOutput(together.readouts[row : row + 1], weights)
        assert_rows_close(alone, whole, rounding(config, dtype))


@every_kind
@some
@given(anything, pair_lists, st.randoms(use_true_random=False))
def test_a_batch_in_another_order_gives_its_results_in_that_order(kind, data, pairs, rng):
    _, model = drawn_model(data, kind)
    order = list(range(len(pairs)))
    rng.shuffle(order)
    ours, reordered = unrolled(model, pairs), unrolled(model, [pairs[i] for i in order])
    weights = None if ours.weights is None else ours.weights[order]
    assert_rows_close(UnrollOutput(ours.readouts[order], weights), reordered, 1e-12)


@every_kind
@some
@given(anything, pair_lists)
def test_unrolling_is_starting_and_stepping(kind, data, pairs):
    _, model = drawn_model(data, kind)
    with torch.no_grad():
        steps = UnrollOutput(*stepped(model, padded(pairs)))
    assert_rows_close(unrolled(model, pairs), steps, 1e-10)


@every_kind
@some
@given(anything, sentences, sentences)
def test_no_step_depends_on_what_is_written_after_it(kind, data, source, target):
    config, model = drawn_model(data, kind)
    t = data.draw(st.integers(0, len(target) - 1))  # the first target id that changes
    other = [*target[:t], *data.draw(st.lists(st.sampled_from(REAL_IDS), min_size=1, max_size=6))]
    ours, theirs = unrolled(model, [(source, target)]), unrolled(model, [(source, other)])
    before = t + 1  # readouts: of BOS and of t ids
    torch.testing.assert_close(
        ours.readouts[:, :before], theirs.readouts[:, :before], rtol=0, atol=1e-12
    )
    if ours.weights is not None:
        torch.testing.assert_close(
            ours.weights[:, :, :before], theirs.weights[:, :, :before], rtol=0, atol=1e-12
        )
    reads_now = config.readout_state == "new" or config.readout_has_embedding
    if reads_now and target[t] != other[t]:
        assert not torch.equal(ours.readouts[:, t + 1], theirs.readouts[:, t + 1])


@every_kind
@some
@given(anything, st.lists(st.tuples(sentences, sentences), min_size=2, max_size=4))
def test_select_selects_everything_a_step_needs(kind, data, pairs):
    """Selecting rows and stepping is stepping and selecting rows; rows may be repeated."""
    config, model = drawn_model(data, kind)
    batch = padded(pairs)
    rows = torch.tensor(data.draw(st.lists(st.integers(0, len(pairs) - 1), min_size=1, max_size=6)))
    with torch.no_grad():
        memory = model.encode(batch.source)
        bound = model.decoder.bind(memory)
        state = bound.start()
        for previous in batch.decoder_input[:, :2].unbind(1):  # so that no state is a first one
            state = bound.step(previous, state).state
        if state.step_index is not None:  # as if the sentences had begun at different times
            state = replace(state, step_index=1 + torch.arange(len(pairs)))
        ids = batch.decoder_input[:, -1]
        whole = bound.step(ids, state)
        chosen = bound.select(rows).step(ids[rows], state.select(rows))
    torch.testing.assert_close(whole.readout[rows], chosen.readout, rtol=0, atol=1e-12)
    if whole.weights is not None:
        torch.testing.assert_close(whole.weights[rows], chosen.weights, rtol=0, atol=1e-12)
    for ours, theirs in zip(tensors_of(whole.state), tensors_of(chosen.state), strict=True):
        torch.testing.assert_close(ours[rows], theirs, rtol=0, atol=1e-12)
    attends = config.attention != "none"
    cells = 2 if "lstm" in (config.decoder_cell or config.cell) else 1
    assert len(tensors_of(state)) == (
        config.decoder_layers * cells
        + (attends and config.uses_input_feeding)
        + (config.coverage != "none")
        + 2 * config.decoder_self_attention  # keys and values
        + attends  # the index of the step
    )
    for value in (state, memory):
        for ours, theirs in zip(tensors_of(value), tensors_of(value.select(rows)), strict=True):
            assert len(ours) == len(pairs) and torch.equal(ours[rows], theirs)


@every_kind
@some
@given(anything, st.lists(st.tuples(sentences, sentences), min_size=1, max_size=3))
def test_the_hypotheses_of_a_sentence_share_its_memory(kind, data, pairs):
    """Rows that share a memory step like rows that each have a copy of it."""
    _, model = drawn_model(data, kind)
    count = data.draw(st.integers(1, 3))  # of hypotheses
    rows = torch.arange(len(pairs)).repeat_interleave(count)
    drawn = st.lists(st.sampled_from(REAL_IDS), min_size=len(rows), max_size=len(rows))
    with torch.no_grad():
        bound = model.decoder.bind(model.encode(padded(pairs).source))
        first = bound.step(torch.full((len(pairs),), BOS), bound.start()).state
        shared = copied = first.select(rows)
        copies = bound.select(rows)
        for _ in range(2):
            previous = torch.tensor(data.draw(drawn))
            ours, theirs = bound.step(previous, shared), copies.step(previous, copied)
            for one, other in zip(tensors_of(ours), tensors_of(theirs), strict=True):
                torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
            shared, copied = ours.state, theirs.state


@every_kind
@few
@given(
    anything,
    st.lists(st.tuples(sentences, sentences), min_size=2, max_size=4),
    st.permutations([0, 1, 2, 3]),
)
def test_a_reordered_beam_is_the_beam_of_reordered_sentences(kind, data, pairs, order):
    """Reordering the rows of the state after every step changes nothing."""
    _, model = drawn_model(data, kind)
    order = [sentence for sentence in order if sentence < len(pairs)]
    batch, reordered = padded(pairs), padded([pairs[sentence] for sentence in order])
    with torch.no_grad():
        expected = UnrollOutput(*stepped(model, reordered))
        bound = model.decoder.bind(model.encode(batch.source))
        state, readouts, weights = bound.start(), [], []
        now = list(range(len(pairs)))  # which sentence each row is
        for t, ids in enumerate(batch.decoder_input.unbind(1)):
            rows = torch.tensor(
                [now.index(sentence) for sentence in (order if t % 2 == 0 else sorted(order))]
            )
            now = [now[row] for row in rows.tolist()]
            state, bound = state.select(rows), bound.select(rows)
            step = bound.step(ids[now], state)
            state = step.state
            back = [now.index(sentence) for sentence in order]
            readouts.append(step.readout[back])
            weights.append(None if step.weights is None else step.weights[back])
    stacked = None if weights[0] is None else torch.stack(weights, dim=2)
    assert_rows_close(UnrollOutput(torch.stack(readouts, dim=1), stacked), expected, 1e-12)


@every_attention
@pytest.mark.parametrize(
    "dropped", ["dropout", "embedding_dropout", "attention_dropout", "context_dropout"]
)
@examples(1)
@given(data=anything)
def test_dropout_beside_attention_is_for_training_alone(kind, dropped, data):
    config = data.draw(model_configs(kind, readout_context=True))
    assert_noisy_in_training_alone(config, dropped)


@pytest.mark.parametrize("kind", PLAIN, ids=str)
@pytest.mark.parametrize(
    "dropped",
    ["dropout", "embedding_dropout", "word_dropout", "readout_dropout", "recurrent_dropout"],
)
@few
@given(data=anything)
def test_dropout_is_for_training_alone(kind, dropped, data):
    assert_noisy_in_training_alone(data.draw(model_configs(kind)), dropped)


def assert_noisy_in_training_alone(config: ModelConfig, dropped: str) -> None:
    model = model_of(ModelConfig(**config.model_dump() | {dropped: 0.6}))
    pairs = [([5, 6, 4], [7, 8]), ([9], [10])]
    first = unrolled(model, pairs)
    assert torch.equal(first.readouts, unrolled(model, pairs).readouts)
    assert torch.equal(first.readouts, unrolled(model_of(config), pairs).readouts)
    model.train()
    torch.manual_seed(1)
    noisy = unrolled(model, pairs)
    assert not torch.equal(first.readouts, noisy.readouts)
    torch.manual_seed(1)
    assert torch.equal(noisy.readouts, unrolled(model, pairs).readouts)


@every_kind
@few
@given(anything, pair_lists, st.sampled_from([torch.float16, torch.bfloat16]))
def test_half_precision_stays_finite_and_masked(kind, data, pairs, dtype):
    config, model = drawn_model(data, kind, dtype=dtype)
    readouts, weights, _ = unrolled(model, pairs)
    assert readouts.dtype == dtype and readouts.isfinite().all()
    if weights is not None:
        assert weights.isfinite().all()
        for row, (source, _) in enumerate(pairs):
            assert not weights[row, ..., states_of(config, source) :].any()


# Search on the whole model


def sure_of_ending(model: EncoderDecoder, *, eos: float = 1.0) -> EncoderDecoder:
    """A model that writes EOS more often, so that most hypotheses end."""
    with torch.no_grad():
        model.output.vocabulary.bias[EOS] += eos
    return model


def drawn_searcher(
    data: st.DataObject, kind: Any, *, eos: float = 1.0, **how: Any
) -> tuple[ModelConfig, EncoderDecoder]:
    config = data.draw(model_configs(kind, output_bias=True), label="model")
    model = model_of(config, seed=data.draw(seeds, label="seed"), **how)
    return config, sure_of_ending(model, eos=eos)


def on_pieces(weights: torch.Tensor, stride: int, pieces: int, encoded: int) -> torch.Tensor:
    """A state's weight in equal parts on each piece that it was encoded from. [T, S'] -> [T, S]

    Only the first `encoded` pieces were encoded.
    """
    spread = weights.new_zeros(len(weights), pieces)
    for piece in range(encoded):
        state = piece // stride
        spread[:, piece] = weights[:, state] / min(stride, encoded - state * stride)
    return spread


@every_kind
@some
@given(anything, pair_lists)
def test_forcing_a_target_gives_its_loss(kind, data, pairs):
    config, model = drawn_model(data, kind)
    again = [forced(model, source, target) for source, target in pairs]
    with torch.no_grad():
        loss = batch_loss(model, padded(pairs))
        weights = model.unroll(padded(pairs)).weights
    total = -sum(hypothesis.log_probability for hypothesis in again)
    assert loss.nll.item() == pytest.approx(total, rel=1e-10)
    for row, (hypothesis, (source, target)) in enumerate(zip(again, pairs, strict=True)):
        assert hypothesis.ids == (*target, EOS)
        if weights is not None:
            rows, columns = len(target) + 1, len(source) + 1
            assert hypothesis.weights.shape == (rows, columns)
            mean, encoded = weights[row, :, :rows].mean(0), len(source) + config.encode_eos
            expected = on_pieces(mean, model.encoder.stride, columns, encoded)
            torch.testing.assert_close(hypothesis.weights, expected, rtol=0, atol=1e-10)


@every_attention
@some
@given(anything, sentences, sentences)
def test_attention_shown_on_the_source_sums_to_one_like_its_states(kind, data, source, target):
    """Also where a state of a pyramid stands for several pieces."""
    config, model = drawn_model(data, kind)
    weights = forced(model, source, target).weights
    for step, row in enumerate(weights, start=1):
        if config.scope == "local_p":
            assert row.sum() <= 1 + 1e-12
        else:
            attends = bool(allowed_positions(config, source, step))
            assert row.sum().item() == pytest.approx(float(attends), abs=1e-12)


@every_attention
@few
@given(data=anything, source=sentences, target=sentences)
def test_the_views_of_attention_heads_average_to_the_view_of_all(kind, data, source, target):
    config, model = drawn_model(data, kind)
    heads = [forced(model, source, target, head=head).weights for head in range(config.heads)]
    together = forced(model, source, target).weights
    torch.testing.assert_close(sum(heads) / config.heads, together, rtol=0, atol=1e-12)
    searched = [
        translate(model, [source], SearchConfig(beam=2), head=head)[0][0]
        for head in range(config.heads)
    ]
    ((best,),) = translate(model, [source], SearchConfig(beam=2))
    mean = sum(each.weights for each in searched) / config.heads
    torch.testing.assert_close(mean, best.weights, rtol=0, atol=1e-12)


@every_kind
@few
@given(anything, st.lists(sentences, min_size=1, max_size=5), types)
def test_forcing_the_best_hypothesis_gives_it_back(kind, data, sources, dtype):
    config, model = drawn_searcher(data, kind, eos=3.0, dtype=dtype)
    near = rounding(config, dtype)
    found = translate(model, sources, SearchConfig(beam=3), n_best=2)
    for source, hypotheses in zip(sources, found, strict=True):
        for hypothesis in hypotheses:
            if hypothesis.ids[-1] != EOS:
                continue  # cut at the longest length: what force adds was never searched
            again = forced(model, source, hypothesis.ids[:-1])
            assert again.ids == hypothesis.ids
            assert again.log_probability == pytest.approx(
                hypothesis.log_probability, abs=10 * near * len(again.ids)
            )
            if hypothesis.weights is not None:
                torch.testing.assert_close(again.weights, hypothesis.weights, rtol=0, atol=near)


@every_kind
@few
@given(anything, st.lists(sentences, min_size=1, max_size=6), st.integers(1, 4))
def test_a_translation_does_not_depend_on_its_batch(kind, data, sources, beam):
    _, model = drawn_searcher(data, kind)
    together = translate(model, sources, SearchConfig(beam=beam))
    for batch_sentences in (1, 2):
        config = SearchConfig(beam=beam, batch_sentences=batch_sentences)
        apart = translate(model, sources, config)
        for (ours,), (theirs,), source in zip(together, apart, sources, strict=True):
            assert ours.ids == theirs.ids
            assert ours.score == pytest.approx(theirs.score, abs=1e-10)
            if ours.weights is not None:
                assert ours.weights.shape == (len(ours.ids), len(source) + 1)
                torch.testing.assert_close(ours.weights, theirs.weights, rtol=0, atol=1e-10)


@every_kind
@few
@given(anything, st.lists(sentences, min_size=1, max_size=2))
def test_a_beam_of_one_is_greedy_search(kind, data, sources):
    _, model = drawn_searcher(data, kind, eos=4.0)
    greedy = translate(model, sources, SearchConfig(beam=1))
    for (hypothesis,), source in zip(greedy, sources, strict=True):
        ids, logits = walked(model, source, longest=int(2.0 * len(source)) + 20)
        assert hypothesis.ids == ids
        assert hypothesis.log_probability == pytest.approx(logits, abs=1e-9)
        assert not {PAD, 1, 2} & set(hypothesis.ids)


def walked(model: EncoderDecoder, source: Ids, *, longest: int) -> tuple[tuple[int, ...], float]:
    """Greedy search as a plain loop, which decodes the whole prefix again for every id."""
    ids: list[int] = []
    total = 0.0
    while len(ids) < longest and ids[-1:] != [EOS]:
        with torch.no_grad():
            readouts, _, bias = model.unroll(padded([(source, ids)]))
            log_probabilities = model.logits(readouts, bias)[0, len(ids)].log_softmax(-1)
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
    translate(model, [[5, 6], [7]], SearchConfig())
    forced(model, [5, 6], [7])
    assert digest() == before
