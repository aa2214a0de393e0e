"""Whole models against loops over the equations of the papers, and their gradients."""

from typing import Any, Literal, get_args, get_origin

import attention_references as ar
import pytest
import torch
from combinations import model_configs
from decoder_references import SlowModel, tensor
from examples import examples
from gradients import assert_gradient_is_right
from hypothesis import given
from hypothesis import strategies as st
from references import times
from tiny import (
    ATTENTIVE,
    BAHDANAU,
    CELLS,
    CONDITIONAL,
    EVERY_KIND,
    LUONG,
    ORDER_AND_SCORE,
    PLAIN,
    SCORES,
    Ids,
    Kind,
    model_of,
    padded,
    stepped,
    tiny_config,
    tiny_model,
)
from torch import nn

from cli.runs.preset import preset_names, read_preset
from seq2seq.batch import BOS, PAD
from seq2seq.config import ModelConfig
from seq2seq.decoders.contract import Memory
from seq2seq.model import EncoderDecoder

PAIRS = [([5, 6, 7, 8, 9], [8, 9, 4, 4]), ([10], [5])]
EXACT = {"rtol": 0, "atol": 1e-10}


# Every combination against the same combination of loops


def assert_is_its_equations(config: ModelConfig, *, seed: int = 0) -> None:
    """Memory, readouts, weights, logits and the state after the last step, sentence by sentence."""
    model, batch = model_of(config, seed=seed), padded(PAIRS)
    slow = SlowModel(model, config)
    with torch.no_grad():
        memory = model.encode(batch.source)
        readouts, weights, bias = model.unroll_from(memory, batch.decoder_input)
        logits = model.logits(readouts, bias)
    for row, (source, target) in enumerate(PAIRS):
        expected = slow.encode(source)
        states, ids = len(expected.values), [BOS, *target]
        torch.testing.assert_close(memory.values[row, :states], tensor(expected.values), **EXACT)
        torch.testing.assert_close(memory.summary[row], tensor(expected.summary), **EXACT)
        assert memory.mask[row].tolist() == expected.mask + [False] * (
            memory.mask.shape[1] - states
        )
        steps = slow.decode(expected, ids)
        for t, step in enumerate(steps):
            torch.testing.assert_close(readouts[row, t], tensor(step.readout), **EXACT)
            expected_logits = slow.logits(step.readout) + slow.bias(step.weights, expected)
            torch.testing.assert_close(logits[row, t], tensor(expected_logits), **EXACT)
            assert (weights is None) == (not step.weights)
            if weights is not None:
                torch.testing.assert_close(
                    weights[row, :, t, :states], tensor(step.weights), **EXACT
                )
        assert_state_after(model, source, ids, steps[-1])


def assert_state_after(model: EncoderDecoder, source: Ids, ids: Ids, expected: Any) -> None:
    batch = padded([(source, ids[1:])])
    with torch.no_grad():
        bound = model.decoder.bind(model.encode(batch.source))
        state = bound.start()
        for previous in ids:
            state = bound.step(torch.tensor([previous]), state).state
    for ours, theirs in zip(state.layers, expected.states, strict=True):
        torch.testing.assert_close(ours.hidden[0], tensor(theirs.hidden), **EXACT)
        assert (ours.cell is None) == (theirs.cell is None)
        if ours.cell is not None:
            torch.testing.assert_close(ours.cell[0], tensor(theirs.cell), **EXACT)
    assert (state.feedback is None) == (expected.feedback is None)
    if state.feedback is not None:
        torch.testing.assert_close(state.feedback[0], tensor(expected.feedback), **EXACT)
    assert (state.coverage is None) == (expected.coverage is None)
    if state.coverage is not None:
        coverage = state.coverage[0, : len(expected.coverage)]
        torch.testing.assert_close(coverage, tensor(expected.coverage), **EXACT)
    if state.step_index is not None:
        assert state.step_index.tolist() == [len(ids) + 1]
    if state.past is not None:
        assert state.past.keys.shape[-2] == len(ids)


ONE_OF_EACH_ORDER = [*PLAIN, LUONG[4], BAHDANAU[4], CONDITIONAL[3]]
KINDS_AND_CELLS = [
    *((kind, "lstm") for kind in EVERY_KIND),
    *((kind, cell) for kind in ONE_OF_EACH_ORDER for cell in CELLS if cell != "lstm"),
]


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(("kind", "cell"), KINDS_AND_CELLS, ids=str)
def test_every_step_is_that_of_the_paper(kind, cell, layers):
    residual = {"residual_from": 3 if cell in ("lstm", "gru") else None}
    assert_is_its_equations(tiny_config(kind, cell=cell, layers=layers, **residual))


@pytest.mark.parametrize("kind", [*PLAIN, *ORDER_AND_SCORE], ids=str)
@examples(3)
@given(data=st.data())
def test_every_combination_is_its_equations(kind, data):
    config = data.draw(model_configs(kind, zoneout=0.0))
    assert_is_its_equations(config, seed=data.draw(st.integers(0, 2**16)))


THREE = {"encoder_layers": 3, "decoder_layers": 3}
BOTTOM = THREE | {"query_layer": "bottom"}
MAXOUT = {"readout": "maxout", "readout_size": 7}
NAMED: dict[str, tuple[Kind, dict[str, Any]]] = {
    "luong, the readout is fed back": (LUONG[4], {}),
    "luong, the context is fed back": (LUONG[4], {"feedback": "context"}),
    "luong without input feeding": (LUONG[5], {}),
    "luong, the parts of the readout are fed back": (LUONG[4], {"readout": "none"}),
    "luong, the query of the bottom layer": (LUONG[4], BOTTOM),
    "luong, the query of the bottom layer, without input feeding": (LUONG[5], BOTTOM),
    "luong, the context to upper layers": (LUONG[4], BOTTOM | {"context_to_upper": True}),
    "luong, the context to upper layers, without input feeding": (
        LUONG[5],
        BOTTOM | {"context_to_upper": True},
    ),
    "luong reading the previous state": (LUONG[5], {"readout_state": "previous"}),
    "bahdanau, new state, tanh": (BAHDANAU[4], {}),
    "bahdanau, new state, maxout": (BAHDANAU[4], MAXOUT),
    "bahdanau, new state, no readout": (BAHDANAU[4], {"readout": "none"}),
    "bahdanau, previous state, tanh": (BAHDANAU[4], {"readout_state": "previous"}),
    "bahdanau, previous state, maxout": (BAHDANAU[4], MAXOUT | {"readout_state": "previous"}),
    "bahdanau, previous state, no readout": (
        BAHDANAU[4],
        {"readout": "none", "readout_state": "previous"},
    ),
    "bahdanau, the query of the bottom layer, context to all": (
        BAHDANAU[3],
        BOTTOM | {"context_to_upper": True},
    ),
    "bahdanau, the query of the top layer, context to all": (
        BAHDANAU[3],
        THREE | {"context_to_upper": True},
    ),
    "bahdanau, the readout is fed back": (BAHDANAU[3], {"input_feeding": True}),
    "conditional": (CONDITIONAL[3], {"cell": "gru"}),
    "conditional, three layers": (CONDITIONAL[3], BOTTOM | {"cell": "gru"}),
    "conditional, three layers, context to all": (
        CONDITIONAL[3],
        BOTTOM | {"context_to_upper": True},
    ),
    "conditional, the readout is fed back": (CONDITIONAL[3], {"input_feeding": True}),
    "plain, state": (PLAIN[0], {}),
    "plain, input": (PLAIN[1], {}),
    "plain, input, gru_cho": (PLAIN[1], MAXOUT | {"decoder_cell": "gru_cho"}),
    "plain with self-attention": (PLAIN[0], {"decoder_self_attention": True}),
    "luong, local-m": (LUONG[4], {"scope": "local_m", "window": 1}),
    "luong, local-m, without input feeding": (LUONG[5], {"scope": "local_m", "window": 1}),
    "luong, local-p": (LUONG[4], {"scope": "local_p", "window": 2}),
    "luong, local-p, without input feeding": (LUONG[5], {"scope": "local_p", "window": 2}),
    "bahdanau, local-p": (BAHDANAU[4], {"scope": "local_p", "window": 2}),
    **{
        f"{kind.attention}, {coverage} coverage, {heads}": (
            kind,
            {"coverage": coverage, "coverage_size": 3, "heads": heads},
        )
        for kind in (LUONG[6], LUONG[5], BAHDANAU[4], CONDITIONAL[3])
        for coverage in ("linear", "gru")
        for heads in (1, 2)
    },
    **{
        f"{kind.attention}, two heads, {name}": (kind, {"heads": 2} | how)
        for kind in (LUONG[4], LUONG[5], BAHDANAU[4], CONDITIONAL[3])
        for name, how in {
            "projected": {},
            "values unprojected": {"project_values": False},
            "slices": {"projections": False},
        }.items()
    },
    "one head, projected": (LUONG[2], {"projections": True}),
    **{
        f"{kind.attention} with self-attention": (
            kind,
            {"decoder_self_attention": True, "self_attention_heads": 2},
        )
        for kind in (LUONG[4], LUONG[5], BAHDANAU[4], CONDITIONAL[3])
    },
}


@pytest.mark.parametrize("name", NAMED)
def test_attention_put_together_as_in(name):
    kind, changes = NAMED[name]
    assert_is_its_equations(tiny_config(kind, **{"cell": "lstm"} | changes))


def test_each_head_has_weights_of_its_own():
    for kind in (LUONG[4], LUONG[5], BAHDANAU[4], CONDITIONAL[3]):
        model = tiny_model(kind, heads=2)
        with torch.no_grad():
            weights = model.unroll(padded(PAIRS)).weights
        assert weights.shape == (2, 2, 5, 6)
        assert not torch.allclose(weights[:, 0], weights[:, 1])


# Presets

TINY = {
    "embedding_size": 5,
    "encoder_size": 4,
    "encoder_projection": 4,
    "decoder_size": 4,
    "attention_size": 8,
    "readout_size": 6,
    "window": 2,
}
NO_DROPOUT = {"embedding_dropout": 0.0, "dropout": 0.0, "attention_dropout": 0.0}


def preset_config(name: str, **changes: Any) -> ModelConfig:
    """The preset's structure in tiny widths."""
    chosen = read_preset(name).model
    return ModelConfig(
        **chosen | {k: v for k, v in TINY.items() if k in chosen} | NO_DROPOUT | changes
    )


def arrays(module: nn.Module) -> dict[str, ar.Array]:
    return {name: value.detach().numpy() for name, value in module.named_parameters()}


# The output layer and the first state


@pytest.mark.parametrize("tie", ["none", "decoder", "all"])
@pytest.mark.parametrize("readout", [5, 7])  # 5 is the embedding's width
def test_logits_are_inner_products_with_the_rows_of_the_vocabulary(tie, readout):
    model = tiny_model(LUONG[0], tie_embeddings=tie, readout_size=readout)
    weights = arrays(model.output)
    rows = weights["vocabulary.weight"]
    if tie != "none":  # Press & Wolf (2017): the output embedding is the input embedding
        assert model.output.vocabulary.weight is model.decoder.embedding.weight
        rows = model.decoder.embedding.weight.detach().numpy()
    readouts = torch.linspace(-1, 1, readout, dtype=torch.float64)
    inputs = readouts.numpy()
    if tie != "none" and readout != 5:
        inputs = times(weights["narrow.weight"], inputs)
    expected = times(rows, inputs) + weights["vocabulary.bias"]
    torch.testing.assert_close(model.logits(readouts), torch.tensor(expected), **EXACT)


def test_context_input_reaches_the_cell_at_every_step():
    by_state, by_input = (tiny_model(kind) for kind in PLAIN)
    batch = padded(PAIRS[:1])
    for model, reaches in ((by_state, False), (by_input, True)):
        memory = model.encode(batch.source)
        state = model.decoder.bind(memory).start()
        other = Memory(memory.values, memory.mask, memory.summary + 1, memory.final_states)
        ids = torch.tensor([5])
        here, there = (
            model.decoder.bind(each).step(ids, state).readout for each in (memory, other)
        )
        assert torch.equal(here, there) is not reaches


@pytest.mark.parametrize(
    ("kind", "feedback", "width"),
    [
        (LUONG[0], "readout", 7),
        (LUONG[0], "context", 6),
        (Kind("bahdanau", "dot", True), "readout", 7),
        (Kind("conditional", "dot", True), "context", 6),
    ],
    ids=str,
)
def test_input_feeding_starts_from_zeros(kind, feedback, width):
    model, batch = tiny_model(kind, feedback=feedback), padded(PAIRS)
    feedback = model.decoder.bind(model.encode(batch.source)).start().feedback
    assert feedback is not None and feedback.shape == (2, width) and not feedback.any()
    assert stepped(model, batch)[0].shape == (2, 5, 7)


# Gradients

SMALL = {
    "embedding_size": 3,
    "encoder_size": 2,
    "decoder_size": 4,
    "attention_size": 4,
    "readout_size": 3,
    "coverage_size": 2,
    "location_positions": 4,
    "window": 2,
    "tie_embeddings": "none",
} | NO_DROPOUT
TWO = {"encoder_layers": 2, "decoder_layers": 2}
LEXICONS: dict[str, Any] = {"lexical_model": True, "lexicon": 3}
LEXICAL: list[dict[str, Any]] = [
    {},
    {"heads": 2, "input_feeding": False},
    {"attention": "bahdanau", "source_order": "reversed", "encode_eos": False},
    {"attention": "conditional", "tie_embeddings": "all"},
]
AXES: list[dict[str, Any]] = [
    *({"cell": cell} | TWO for cell in CELLS),
    *({"decoder_cell": cell, "cell": "gru"} for cell in CELLS),
    *({"cell": cell, "recurrent_biases": False} for cell in ("lstm", "lstm_layer_norm")),
    {"scale_embeddings": False},
    *({"encoder": kind} | TWO for kind in ("unidirectional", "gnmt", "pyramid")),
    {"encoder_projection": 4, "encoder_self_attention": 1, "self_attention_heads": 2},
    {"source_order": "reversed"},
    *({"summary": summary} for summary in ("backward", "mean")),
    *({"bridge": bridge} for bridge in ("copy", "zero")),
    {"residual_from": 2} | TWO,
    {"attend_eos": False},
    {"encode_eos": False},
    {"encode_eos": False, "source_order": "reversed", "encoder_layers": 2},
    {"memory_embeddings": True, "encoder_self_attention": 1, "summary": "mean"},
    *({"attention": "none", "context": context} for context in ("state", "input")),
    *({"attention": "bahdanau", "score": score} for score in SCORES),
    *({"attention": "luong", "score": score} for score in SCORES),
    *({"attention": "conditional", "score": score} for score in SCORES),
    *({"scope": scope} for scope in ("local_m", "local_p")),
    *({"scope": scope, "heads": 2, "input_feeding": False} for scope in ("local_m", "local_p")),
    *({"normalizer": normalizer} for normalizer in ("sparsemax", "entmax15")),
    {"heads": 2},
    {"heads": 2, "projections": False},
    {"heads": 2, "project_values": False},
    {"projections": True, "score": "scaled_dot"},
    *({"coverage": kind, "score": "concat"} for kind in ("linear", "gru")),
    *({"coverage": kind, "attention": "bahdanau", "heads": 2} for kind in ("linear", "gru")),
    {"query_layer": "bottom", "context_to_upper": True} | TWO,
    {"query_layer": "bottom", "context_to_upper": True, "input_feeding": False} | TWO,
    {"query_layer": "bottom", "context_to_upper": True, "attention": "bahdanau"} | TWO,
    {"query_layer": "bottom", "context_to_upper": True, "attention": "conditional"} | TWO,
    {"input_feeding": True, "feedback": "context", "attention": "bahdanau"},
    {"input_feeding": False},
    {"decoder_self_attention": True},
    {"decoder_self_attention": True, "input_feeding": False},
    *({"readout": readout} for readout in ("maxout", "none")),
    {
        "attention": "bahdanau",
        "readout_state": "previous",
        "readout_context": False,
        "readout_embedding": True,
    },
    {"readout_context": True, "readout_embedding": False, "attention": "bahdanau"},
    {"output_bias": False},
    *({name: value} | more for more in LEXICAL for name, value in LEXICONS.items()),
    *({"tie_embeddings": tie} for tie in ("decoder", "all")),
    {"variational_dropout": True},
    *({"zoneout": 0.3, "cell": cell} for cell in CELLS),
]


def axis_config(chosen: dict[str, Any]) -> ModelConfig:
    return ModelConfig(**SMALL | chosen)


def test_every_value_of_every_axis_has_its_gradient_checked():
    configs = [axis_config(chosen) for chosen in AXES]
    for name, field in ModelConfig.model_fields.items():
        values = {
            value
            for part in (field.annotation, *get_args(field.annotation))
            if get_origin(part) is Literal
            for value in get_args(part)
        }
        if bool in (field.annotation, *get_args(field.annotation)):
            values = {True, False}
        assert values <= {getattr(config, name) for config in configs}, name


def assert_gradients_right(config: ModelConfig) -> None:
    """Check derivatives of logits and weights by each parameter, in one drawn direction."""
    model, batch = model_of(config, seed=1, vocabulary=6), padded([([4, 5, 4], [5]), ([5], [4, 4])])
    nonpad = batch.labels != PAD

    def outputs() -> tuple[torch.Tensor, ...]:
        readouts, weights, bias = model.unroll(batch)
        logits = model.logits(readouts[nonpad], None if bias is None else bias.at(nonpad))
        return (logits,) if weights is None else (logits, weights.transpose(1, 2)[nonpad])

    assert_gradient_is_right(outputs, model.parameters())


@pytest.mark.parametrize("chosen", AXES, ids=lambda each: "-".join(map(str, each.values())))
def test_the_gradient_of_a_whole_model_with_attention_is_right(chosen):
    assert_gradients_right(axis_config(chosen))


@pytest.mark.parametrize("name", preset_names())
def test_the_gradient_of_a_preset_with_its_attention_is_right(name):
    assert_gradients_right(preset_config(name))


@pytest.mark.parametrize("kind", [LUONG[4], BAHDANAU[4], CONDITIONAL[3], PLAIN[1]], ids=str)
def test_the_whole_gradient_of_one_of_each_family_is_right(kind):
    sizes = {"embedding_size": 2, "encoder_size": 1, "decoder_size": 2, "attention_size": 2}
    model = tiny_model(kind, cell="lstm", vocabulary=5, readout_size=2, **sizes)
    batch = padded([([4, 4], [4])])
    memory = model.encode(batch.source)
    values = memory.values.detach().requires_grad_()
    summary = memory.summary.detach().requires_grad_()

    def readouts(values, summary, *_):
        changed = Memory(
            values, memory.mask, summary, memory.final_states, model.decoder.project_memory(values)
        )
        unrolled = model.decoder.unroll(batch.decoder_input, changed)
        return unrolled.readouts if unrolled.weights is None else tuple(unrolled)

    decoder = tuple(p for n, p in model.decoder.named_parameters() if n != "embedding.weight")
    assert torch.autograd.gradcheck(readouts, (values, summary, *decoder))


def test_no_parameter_is_without_use():
    """Every weight changes the loss, whatever the order, the score and the heads."""
    for kind in [*PLAIN, *ATTENTIVE]:
        model = tiny_model(kind)
        batch = padded(PAIRS)
        model.logits(model.unroll(batch).readouts).logsumexp(-1).sum().backward()
        unused = [name for name, p in model.named_parameters() if p.grad is None]
        assert unused == [], kind
