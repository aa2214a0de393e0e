"""Every encoder with every cell against loops over single sentences; padding changes nothing."""

import itertools
from typing import get_args

import numpy as np
import recurrent_references as references
import torch
from gradients import assert_gradient_is_right
from pytest import mark, raises
from tiny import redraw
from torch import Tensor, nn

from seq2seq.attention import AttentionMask
from seq2seq.batch import Source
from seq2seq.config import CellKind, EncoderKind
from seq2seq.encoder import Encoder, EncoderOutput
from seq2seq.kernels.dropout import DropoutRates
from seq2seq.recurrent.layers import LAYERS, LayerSpec

EXACT = {"rtol": 0, "atol": 1e-10}
EMBEDDING, HIDDEN = 4, 3
SENTENCES = [[5, 6, 7, 8, 3], [3], [9, 10, 3], [4, 5, 6, 3]]  # 3 is EOS
KINDS = get_args(EncoderKind)

every_cell = mark.parametrize("cell", LAYERS)
every_kind = mark.parametrize("kind", KINDS)


class DoubledNeighbours(nn.Module):
    """In place of self-attention: it uses the mask, and makes the states of padding non-zero."""

    def forward(self, states: Tensor, mask: AttentionMask) -> Tensor:
        return states + (states * mask.key_padding.unsqueeze(-1)).sum(1, keepdim=True)


def encoder_of(cell: CellKind = "lstm", *, layers: int = 1, seed: int = 5, **changes) -> Encoder:
    width = changes.pop("embedding_size", EMBEDDING)
    embedding = nn.Embedding(11, width)
    spec = LayerSpec(cell=cell, hidden_size=HIDDEN, biases=changes.pop("biases", True))
    encoder = Encoder(spec, embedding=embedding, layers=layers, **changes).double()
    redraw(encoder, seed=seed)
    return encoder.eval()


def rectangle(sentences: list[list[int]], *, wider: int = 0, padding: int = 0) -> Tensor:
    width = max(map(len, sentences)) + wider
    return torch.tensor([[*each, *[padding] * (width - len(each))] for each in sentences])


def encoded(
    encoder: Encoder, sentences: list[list[int]] = SENTENCES, **padding: int
) -> EncoderOutput:
    lengths = torch.tensor([len(each) for each in sentences])
    return encoder.encode(Source(rectangle(sentences, **padding), lengths))


def steps_of(cell: CellKind, layer: nn.Module) -> list[references.Step]:
    """The paper's step function for each direction of a layer."""
    return [references.step_of(cell, dict(each.named_parameters())) for each in layer.directions]


def referenced(encoder: Encoder, cell: CellKind, ids: list[int], **how):
    """The states and final states of one sentence, by loops over the papers' equations."""
    rows = encoder.embedding.weight.detach().numpy()
    zeros = np.zeros(HIDDEN)
    start = references.State(zeros, zeros if "lstm" in cell else None)
    steps = [steps_of(cell, layer) for layer in encoder.layers]
    return references.encoder([rows[each] for each in ids], steps, start, **how)


def assert_is(ours: Tensor, theirs) -> None:
    torch.testing.assert_close(ours, torch.from_numpy(np.array(theirs)), **EXACT)


@mark.parametrize("biases", [True, False])
@mark.parametrize("layers", [1, 3])
@every_kind
@every_cell
def test_memory_and_final_states_are_those_of_the_papers(cell, kind, layers, biases):
    encoder = encoder_of(cell, kind=kind, layers=layers, biases=biases)
    states, mask, _, last, stride, _ = encoded(encoder)
    assert stride == encoder.stride == (2 ** (layers - 1) if kind == "pyramid" else 1)
    for row, ids in enumerate(SENTENCES):
        expected, ends = referenced(encoder, cell, ids, pyramid=kind == "pyramid")
        count = len(expected)
        assert count == -(-len(ids) // stride)
        assert mask[row].tolist() == [position < count for position in range(mask.shape[1])]
        assert_is(states[row, :count], expected)
        assert not states[row, count:].any()
        for ours, theirs in zip(last, ends, strict=True):
            assert_is(ours.hidden[row], [each for end in theirs for each in end.hidden])
            assert (ours.cell is None) == (theirs[0].cell is None)
            if ours.cell is not None:
                assert_is(ours.cell[row], [each for end in theirs for each in end.cell])


@every_kind
@every_cell
def test_sizes_are_those_of_the_output(cell, kind):
    encoder = encoder_of(cell, kind=kind, layers=2)
    states, _, summary, last, _, _ = encoded(encoder)
    assert states.shape[-1] == encoder.memory_size
    assert summary.shape[-1] == encoder.summary_size
    assert tuple(each.hidden.shape[-1] for each in last) == encoder.final_sizes
    assert (
        encoder.final_sizes
        == {
            "bidirectional": (2 * HIDDEN, 2 * HIDDEN),
            "unidirectional": (HIDDEN, HIDDEN),
            "gnmt": (2 * HIDDEN, HIDDEN),
            "pyramid": (2 * HIDDEN, 2 * HIDDEN),
        }[kind]
    )


@mark.parametrize("kind", [kind for kind in KINDS if kind != "pyramid"])
@every_cell
def test_states_of_a_reversed_source_are_at_the_positions_of_their_words(cell, kind):
    encoder = encoder_of(cell, kind=kind, layers=2, reverse_source=True)
    states, _, _, last, _, _ = encoded(encoder)
    for row, ids in enumerate(SENTENCES):
        expected, ends = referenced(encoder, cell, ids, reverse=True)
        assert_is(states[row, : len(ids)], expected)
        assert not states[row, len(ids) :].any()
        assert_is(last[-1].hidden[row], [each for end in ends[-1] for each in end.hidden])


@mark.parametrize("reverses", [False, True])
@mark.parametrize("encode_eos", [False, True])
def test_memory_may_have_the_embedding_of_each_piece_beside_its_state(reverses, encode_eos):
    how = {"reverse_source": reverses, "encode_eos": encode_eos, "layers": 2}
    encoder, plain = encoder_of(**how, append_embeddings=True), encoder_of(**how)
    states, mask, summary, _, _, _ = encoded(encoder)
    assert states.shape[-1] == encoder.memory_size == 2 * HIDDEN + EMBEDDING
    torch.testing.assert_close(states[..., : 2 * HIDDEN], encoded(plain).states, **EXACT)
    torch.testing.assert_close(summary, encoded(plain).summary, **EXACT)
    rows = encoder.embedding.weight.detach().numpy()
    for row, ids in enumerate(SENTENCES):
        count = len(ids) if encode_eos else len(ids) - 1
        assert_is(states[row, :count, 2 * HIDDEN :], rows[ids[:count]])
        assert not states[row, count:].any() and int(mask[row].sum()) == count


def test_a_pyramid_has_no_embedding_for_a_state():
    with raises(ValueError, match="pyramid"):
        encoder_of(kind="pyramid", layers=2, append_embeddings=True)


def test_a_pyramid_is_not_reversed():
    with raises(ValueError, match="pyramid"):
        encoder_of(kind="pyramid", layers=2, reverse_source=True)


@mark.parametrize(
    ("residual_from", "embedding_size"),
    [(1, EMBEDDING), (1, HIDDEN), (1, 2 * HIDDEN), (2, EMBEDDING), (3, EMBEDDING)],
)
@every_kind
@every_cell
def test_residual_layers_add_their_input(cell, kind, residual_from, embedding_size):
    encoder = encoder_of(
        cell, kind=kind, layers=3, residual_from=residual_from, embedding_size=embedding_size
    )
    states = encoded(encoder).states
    for row, ids in enumerate(SENTENCES):
        how = {"pyramid": kind == "pyramid", "residual_from": residual_from}
        expected, _ = referenced(encoder, cell, ids, **how)
        assert_is(states[row, : len(expected)], expected)
        assert not states[row, len(expected) :].any()


@mark.parametrize("summary", ["last", "backward", "mean"])
@every_kind
@every_cell
def test_the_summary_is_what_its_name_says(cell, kind, summary):
    encoder = encoder_of(cell, kind=kind, layers=2, summary=summary)
    ours = encoded(encoder).summary
    assert ours.shape[-1] == encoder.summary_size
    for row, ids in enumerate(SENTENCES):
        states, ends = referenced(encoder, cell, ids, pyramid=kind == "pyramid")
        top = [end.hidden for end in ends[-1]]
        expected = {
            "last": [each for hidden in top for each in hidden],
            "backward": top[-1],  # of a layer that goes forward only, its one final state
            "mean": references.mean(states),
        }[summary]
        assert_is(ours[row], expected)


@mark.parametrize("biases", [True, False])
@every_kind
@every_cell
def test_a_projection_maps_the_top_states(cell, kind, biases):
    encoder = encoder_of(cell, kind=kind, layers=2, projection=5, summary="mean", biases=biases)
    states, _, summary, _, _, _ = encoded(encoder)
    assert encoder.memory_size == encoder.summary_size == 5
    parameters = dict(encoder.projection.named_parameters())
    assert ("bias" in parameters) is biases
    for row, ids in enumerate(SENTENCES):
        top, _ = referenced(encoder, cell, ids, pyramid=kind == "pyramid")
        expected = [references.affine(parameters, state) for state in top]
        assert_is(states[row, : len(top)], expected)
        assert not states[row, len(top) :].any()
        assert_is(summary[row], references.mean(expected))


def test_self_attention_gets_the_projected_states_and_padding_stays_zero():
    layers = nn.ModuleList([DoubledNeighbours()])
    encoder = encoder_of(projection=5, self_attention=layers)
    states, mask = encoded(encoder)[:2]
    for row, ids in enumerate(SENTENCES):
        top, _ = referenced(encoder, "lstm", ids)
        projected = [
            references.affine(dict(encoder.projection.named_parameters()), each) for each in top
        ]
        assert_is(states[row, : len(ids)], [each + sum(projected) for each in projected])
    assert not states[~mask].any()


def everything(found: EncoderOutput, row: int | None = None) -> list[Tensor]:
    last = [[each.hidden, each.cell] for each in found.final_states]
    tensors = [found.states, found.summary, *itertools.chain.from_iterable(last)]
    return [each if row is None else each[row] for each in tensors if each is not None]


@mark.parametrize("summary", ["last", "mean"])
@every_kind
@every_cell
def test_the_rest_of_the_batch_changes_nothing(cell, kind, summary):
    how = {"residual_from": 1, "projection": 5, "summary": summary}
    encoder = encoder_of(cell, kind=kind, layers=3, **how)
    together = encoded(encoder)
    for row, ids in enumerate(SENTENCES):
        alone = everything(encoded(encoder, [ids]), 0)
        count = len(alone[0])
        assert not together.states[row, count:].any()
        for ours, its_own in zip(everything(together, row), alone, strict=True):
            torch.testing.assert_close(ours[: len(its_own)], its_own, rtol=0, atol=1e-12)


@mark.parametrize("reverse", [True, False])
@every_kind
@every_cell
def test_more_padding_changes_no_bit(cell, kind, reverse):
    reverse = reverse and kind != "pyramid"
    encoder = encoder_of(cell, kind=kind, layers=3, reverse_source=reverse, residual_from=1)
    narrow = everything(encoded(encoder))
    for other in (encoded(encoder, wider=3), encoded(encoder, padding=9)):  # 9 is also a word
        assert all(map(torch.equal, narrow, everything(other)))


@mark.parametrize("reverse", [True, False])
@every_kind
@every_cell
def test_no_gradient_reaches_padding(cell, kind, reverse):
    reverse = reverse and kind != "pyramid"
    how = {"projection": 5, "summary": "mean", "residual_from": 1, "embedding_size": 2 * HIDDEN}
    encoder = encoder_of(cell, kind=kind, layers=3, reverse_source=reverse, **how)
    sum(each.sum() for each in everything(encoded(encoder))).backward()
    used = sorted({piece for ids in SENTENCES for piece in ids})
    assert not encoder.embedding.weight.grad[0].any()  # 0 is padding, and no word
    assert encoder.embedding.weight.grad[used].any(1).all()
    assert all(each.grad.isfinite().all() for each in encoder.parameters())


@every_kind
@every_cell
def test_the_gradient_of_an_encoder_is_right(cell, kind):
    how = {"residual_from": 2, "projection": 2, "summary": "backward"}
    encoder = encoder_of(cell, kind=kind, layers=3, **how)

    def outputs():
        return tuple(everything(encoded(encoder, [[5, 6, 3], [7, 3]])))

    assert_gradient_is_right(outputs, encoder.parameters())


@every_cell
def test_there_is_no_dropout_on_the_states_that_a_bridge_copies(cell):
    whole, dropped = (
        encoder_of(cell, dropout=DropoutRates(output=each)).train() for each in (0.0, 0.5)
    )
    torch.manual_seed(0)
    one, other = encoded(whole), encoded(dropped)
    assert all(
        torch.equal(a.hidden, b.hidden)
        for a, b in zip(one.final_states, other.final_states, strict=True)
    )
    for mine, theirs in ((one.states, other.states), (one.summary, other.summary)):
        assert ((theirs == 0) | (theirs - 2 * mine).abs().lt(1e-12)).all()
        assert not torch.equal(mine, theirs)
