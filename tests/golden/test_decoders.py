"""Each decoder's steps against loops over the equations of its paper, and its gradients."""

import numpy as np
import pytest
import references
import torch
from tiny import BAHDANAU, CELLS, EVERY_KIND, LUONG, PLAIN, Kind, padded, stepped, tiny_model

from seq2seq.decoders.contract import Memory
from seq2seq.model import EncoderDecoder

PAIRS = [([5, 6, 7], [8, 9, 4, 4]), ([10], [5])]
EXACT = {"rtol": 0, "atol": 1e-10}


def weights_of(model: EncoderDecoder) -> references.Weights:
    return {name: value.detach().numpy() for name, value in model.decoder.named_parameters()}


def referenced(
    model: EncoderDecoder, kind: Kind, memory: Memory, ids: list[int], row: int, cell: str
) -> list[references.Decoding]:
    """The steps of one sentence, from the memory our encoder made of it."""
    weights = weights_of(model)
    summary, values = memory.summary[row].numpy(), memory.values[row].numpy()
    layers = len(model.decoder.bridge.hidden)
    states = references.first_states(weights, summary, layers=layers, cell=cell)
    named = {k.removeprefix("attention.score."): v for k, v in weights.items()}
    score = references.score_of(kind.score, named)
    fed = np.zeros(7) if kind.attention == "luong" and kind.input_feeding else None

    def look(query: references.Array) -> references.Look:
        return references.attention(query, values, values, memory.mask[row].tolist(), score)

    steps = []
    for previous in ids:
        embedded = references.embedding(weights["embedding.weight"], previous)
        if kind.attention == "none":
            step = references.plain_step(
                weights, embedded, states, summary, cell=cell, to=kind.context
            )
        elif kind.attention == "luong":
            step = references.luong_step(weights, embedded, states, fed, look, cell=cell)
            fed = None if fed is None else step.readout
        else:
            step = references.bahdanau_step(weights, embedded, states, look, cell=cell)
        states = step.states
        steps.append(step)
    return steps


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", EVERY_KIND, ids=str)
def test_every_step_is_that_of_the_paper(kind, cell, layers):
    model, batch = tiny_model(kind, cell=cell, layers=layers), padded(PAIRS)
    with torch.no_grad():
        memory = model.encode(batch.source_ids, batch.source_lengths)
        readouts, weights = model.decoder.unroll(batch.decoder_input, memory)
    for row in range(len(PAIRS)):
        ids = batch.decoder_input[row].tolist()
        steps = referenced(model, kind, memory, ids, row, cell)
        for t, step in enumerate(steps):
            torch.testing.assert_close(readouts[row, t], torch.tensor(step.readout), **EXACT)
            if step.weights is None:
                assert weights is None
            else:
                torch.testing.assert_close(weights[row, t], torch.tensor(step.weights), **EXACT)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", [PLAIN[0], LUONG[4], BAHDANAU[2]], ids=str)
def test_the_state_after_a_step_is_that_of_the_paper(kind, cell):
    model, batch = tiny_model(kind, cell=cell, layers=2), padded(PAIRS[:1])
    with torch.no_grad():
        memory = model.encode(batch.source_ids, batch.source_lengths)
        state = model.decoder.start(memory)
        for previous in batch.decoder_input.unbind(1):
            state = model.decoder.step(previous, state, memory).state
    *_, last = referenced(model, kind, memory, batch.decoder_input[0].tolist(), 0, cell)
    for ours, theirs in zip(state.layers, last.states, strict=True):
        torch.testing.assert_close(ours.hidden[0], torch.tensor(theirs.hidden), **EXACT)
        if theirs.cell is not None:
            torch.testing.assert_close(ours.cell[0], torch.tensor(theirs.cell), **EXACT)
    if state.fed is not None:
        torch.testing.assert_close(state.fed[0], torch.tensor(last.readout), **EXACT)


@pytest.mark.parametrize("cell", CELLS)
def test_the_encoder_is_a_cell_in_each_direction(cell):
    model, batch = tiny_model(LUONG[0], cell=cell), padded(PAIRS)
    weights = {k: v.detach().numpy() for k, v in model.encoder.named_parameters()}
    with torch.no_grad():
        memory = model.encode(batch.source_ids, batch.source_lengths)
    for row, (source, _) in enumerate(PAIRS):
        ids, ends, states = [*source, 3], [], []
        for direction, order in (("", ids), ("_reverse", ids[::-1])):
            w = references.CellWeights(
                *(
                    weights[f"layers.0.{part}_l0{direction}"]
                    for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                )
            )
            state = references.State(np.zeros(3), np.zeros(3) if cell == "lstm" else None)
            passed = []
            for each in order:
                embedded = references.embedding(weights["embedding.weight"], each)
                state = references.cell_step(cell, embedded, state, w)
                passed.append(state.hidden)
            ends.append(state.hidden)
            states.append(passed if direction == "" else passed[::-1])
        # h_j = [forward_j ; backward_j]: Bahdanau et al. (2015), section 3.2
        expected = np.concatenate([np.array(states[0]), np.array(states[1])], axis=1)
        real = len(ids)
        np.testing.assert_allclose(memory.values[row, :real], expected, rtol=0, atol=1e-10)
        np.testing.assert_allclose(memory.summary[row], np.concatenate(ends), rtol=0, atol=1e-10)
        assert not memory.values[row, real:].any()


def test_a_residual_layer_adds_what_it_reads():
    plain, residual = (
        tiny_model(LUONG[0], embedding_size=6, encoder_residual=each) for each in (False, True)
    )
    batch = padded(PAIRS)
    with torch.no_grad():
        made, added = (
            model.encode(batch.source_ids, batch.source_lengths).values
            for model in (plain, residual)
        )
        read = plain.encoder.embedding(batch.source_ids)
    for row, (source, _) in enumerate(PAIRS):
        real = len(source) + 1
        torch.testing.assert_close(added[row, :real], made[row, :real] + read[row, :real], **EXACT)
        assert not added[row, real:].any()  # where there is padding, nothing is added


@pytest.mark.parametrize("tie", ["none", "decoder", "all"])
@pytest.mark.parametrize("readout", [5, 7])  # 5 is the embedding's width
def test_logits_are_inner_products_with_the_rows_of_the_vocabulary(tie, readout):
    model = tiny_model(LUONG[0], tie_embeddings=tie, readout_size=readout)
    weights = {name: value.detach().numpy() for name, value in model.output.named_parameters()}
    rows = weights["vocabulary.weight"]
    if tie != "none":  # Press & Wolf (2017): the output embedding is the input embedding
        assert model.output.vocabulary.weight is model.decoder.embedding.weight
        rows = model.decoder.embedding.weight.detach().numpy()
    readouts = torch.linspace(-1, 1, readout, dtype=torch.float64)
    read = readouts.numpy()
    if tie != "none" and readout != 5:
        read = references.times(weights["narrow.weight"], read)
    expected = references.times(rows, read) + weights["vocabulary.bias"]
    torch.testing.assert_close(model.logits(readouts), torch.tensor(expected), **EXACT)


@pytest.mark.parametrize("kind", EVERY_KIND, ids=str)
def test_the_gradient_of_a_whole_decoder_is_right(kind):
    cell = "gru" if kind.score in ("dot", "concat") else "lstm"
    sizes = {"embedding_size": 2, "encoder_size": 1, "decoder_size": 2, "attention_size": 2}
    model = tiny_model(kind, cell=cell, layers=2, vocabulary=6, readout_size=2, **sizes)
    batch = padded([([4, 5], [5]), ([5], [4, 4])])
    parameters = tuple(model.parameters())

    def readouts(*_):
        return model.unroll(batch).readouts

    assert torch.autograd.gradcheck(readouts, parameters, fast_mode=True)


@pytest.mark.parametrize("kind", [LUONG[4], BAHDANAU[4], PLAIN[1]], ids=str)
def test_the_whole_gradient_of_one_of_each_family_is_right(kind):
    sizes = {"embedding_size": 2, "encoder_size": 1, "decoder_size": 2, "attention_size": 2}
    model = tiny_model(kind, cell="lstm", vocabulary=5, readout_size=2, **sizes)
    batch = padded([([4, 4], [4])])
    memory = model.encode(batch.source_ids, batch.source_lengths)
    values = memory.values.detach().requires_grad_()
    summary = memory.summary.detach().requires_grad_()

    def readouts(values, summary, *_):
        looked_at = Memory(values, model.decoder.keys(values), memory.mask, summary)
        unrolled = model.decoder.unroll(batch.decoder_input, looked_at)
        return unrolled.readouts if unrolled.weights is None else tuple(unrolled)

    decoder = tuple(p for n, p in model.decoder.named_parameters() if n != "embedding.weight")
    assert torch.autograd.gradcheck(readouts, (values, summary, *decoder))


def test_context_input_reaches_the_cell_at_every_step():
    by_state, by_input = (tiny_model(kind) for kind in PLAIN)
    batch = padded(PAIRS[:1])
    for model, reaches in ((by_state, False), (by_input, True)):
        memory = model.encode(batch.source_ids, batch.source_lengths)
        state = model.decoder.start(memory)
        other = Memory(memory.values, None, memory.mask, memory.summary + 1)
        ids = torch.tensor([5])
        here, there = (model.decoder.step(ids, state, m).readout for m in (memory, other))
        assert torch.equal(here, there) is not reaches


def test_input_feeding_starts_from_nothing():
    model, batch = tiny_model(LUONG[0]), padded(PAIRS)
    state = model.decoder.start(model.encode(batch.source_ids, batch.source_lengths))
    assert state.fed is not None and not state.fed.any()
    assert stepped(model, batch)[0].shape == (2, 5, 7)
