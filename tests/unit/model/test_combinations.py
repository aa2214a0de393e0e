"""Settings of `model` that do not go together are refused with the reason; all others work."""

import inspect
import re
from typing import Any

import pytest
import torch
from combinations import model_configs
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from tiny import CELLS, ORDER_AND_SCORE, PLAIN, SCORES, Kind, model_of, padded, stepped

from seq2seq import config as config_module
from seq2seq.config import ModelConfig, combination_problems
from seq2seq.errors import ConfigError
from seq2seq.training.cuda_graphs import BatchBucket
from seq2seq.training.losses import batch_loss, padded_loss

SIZES = {"embedding_size": 5, "encoder_size": 4, "decoder_size": 8, "attention_size": 8}
PAIRS = [([4, 5, 6], [7, 8]), ([4, 5, 6, 7, 8, 9], [5]), ([9], [5, 6, 7, 8])]
NONE: dict[str, Any] = {"attention": "none"}
THREE_HEADS = {"heads": 3}

REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    # what is set, and what the message and its hint name
    ({"score": "dot", "decoder_size": 6}, ["score dot", "decoder_size is 6", "memory is 8"]),
    ({"score": "scaled_dot", "decoder_size": 6}, ["score scaled_dot", "model.projections=true"]),
    ({"score": "dot", "encoder": "unidirectional"}, ["memory is 4", "score general"]),
    ({"score": "dot", "encoder_projection": 5}, ["memory is 5"]),
    (THREE_HEADS, ["heads is 3", "width of 8", "multiples"]),
    (THREE_HEADS | {"projections": False}, ["heads is 3", "width of 8"]),
    (
        THREE_HEADS | {"projections": False, "decoder_size": 6, "score": "general"},
        ["heads is 3", "width of 8"],
    ),
    (
        THREE_HEADS | {"attention_size": 6, "project_values": False},
        ["heads is 3", "width of 8"],
    ),
    (THREE_HEADS | {"attention_size": 6, "score": "location"}, ["heads is 3", "width of 8"]),
    *(
        ({"score": "location", "coverage": coverage}, ["score location", "model.coverage=none"])
        for coverage in ("linear", "gru")
    ),
    *((NONE | {"scope": scope}, ["model.scope"]) for scope in ("local_m", "local_p")),
    *((NONE | {"normalizer": each}, ["model.normalizer"]) for each in ("sparsemax", "entmax15")),
    (NONE | {"heads": 2}, ["model.heads"]),
    (NONE | {"projections": True}, ["model.projections"]),
    (NONE | {"coverage": "linear"}, ["model.coverage"]),
    (NONE | {"attention_dropout": 0.1}, ["model.attention_dropout"]),
    (NONE | {"context_to_upper": True, "decoder_layers": 2}, ["model.context_to_upper"]),
    (NONE | {"input_feeding": True}, ["model.input_feeding"]),
    (NONE | {"readout_state": "previous"}, ["model.readout_state", "bahdanau"]),
    (
        {"attention": "luong", "readout_context": False},
        ["attention luong", "model.readout_context=true", "model.feedback=context"],
    ),
    (
        {"context_to_upper": True, "query_layer": "bottom"},
        ["model.context_to_upper", "model.decoder_layers is 1", "at least 2"],
    ),
    (
        {"attention": "luong", "context_to_upper": True, "decoder_layers": 2},
        ["attention luong", "query_layer top", "model.query_layer=bottom"],
    ),
    (
        {"attention": "conditional", "decoder_layers": 2},
        ["attention conditional", "model.query_layer=bottom"],
    ),
    (NONE | {"feedback": "context"}, ["model.feedback is context", "model.input_feeding=true"]),
    ({"feedback": "context", "input_feeding": False}, ["model.feedback is context"]),
    ({"feedback": "context", "attention": "bahdanau"}, ["model.feedback is context"]),
    (
        {"decoder_self_attention": True, "readout_state": "previous"},
        ["model.readout_state previous", "model.decoder_self_attention=false"],
    ),
    (
        {"decoder_self_attention": True, "self_attention_heads": 3},
        ["self_attention_heads is 3", "width of 8"],
    ),
    (
        {"encoder_self_attention": 1, "self_attention_heads": 3},
        ["self_attention_heads is 3", "width of 8"],
    ),
    (
        NONE | {"readout_context": True},
        ["model.readout_context", "model.context=input"],
    ),
    (
        {"encoder": "pyramid", "source_order": "reversed"},
        ["pyramid", "model.source_order=forward"],
    ),
    (
        {"encoder": "pyramid", "memory_embeddings": True},
        ["pyramid", "leave out model.memory_embeddings"],
    ),
    (
        {"encoder": "pyramid", "lexical_model": True},
        ["pyramid", "model.lexical_model"],
    ),
    ({"encoder": "pyramid", "lexicon": 5}, ["pyramid", "model.lexicon"]),
    (
        {"bridge": "copy", "encoder_layers": 2},
        ["model.bridge copy", "2 encoder layers", "1 decoder layers", "model.bridge=tanh"],
    ),
    ({"bridge": "copy", "decoder_size": 6}, ["model.bridge copy", "the encoder's are 8", "6"]),
    ({"bridge": "copy", "encoder": "unidirectional"}, ["the encoder's are 4", "decoder's 8"]),
    (
        {"bridge": "copy", "encoder": "gnmt", "encoder_layers": 2, "decoder_layers": 2},
        ["model.bridge copy", "the encoder's are 4 and 8", "model.bridge=tanh"],
    ),
]


@pytest.mark.parametrize(("chosen", "named"), REFUSED, ids=lambda each: str(each)[:60])
def test_what_does_not_go_together_is_refused_with_the_reason(chosen, named):
    with pytest.raises(ConfigError) as refusal:
        ModelConfig(**SIZES | chosen)
    assert refusal.value.hint
    message = f"{refusal.value} {refusal.value.hint}"
    for each in named:
        assert each in message
    assert any(name.removeprefix("model.") in message for name in chosen)


def test_every_refusal_is_met_here():
    """Each `ConfigError(` about a model is raised by one of the examples: counted by its hint."""
    source = "".join(
        inspect.getsource(each)
        for name, each in vars(config_module).items()
        if inspect.isfunction(each)
        and each.__module__ == config_module.__name__
        and name not in ("training_problems", "guidance_problems", "search_problems")
    )
    hints = set(re.findall(r'hint="([^"]+)', source))
    met = set()
    for chosen, _ in REFUSED:
        values = {name: field.default for name, field in ModelConfig.model_fields.items()}
        built = ModelConfig.model_construct(**values | SIZES | chosen)
        met |= {
            hint
            for problem in combination_problems(built)
            for hint in hints
            if problem.hint and problem.hint.startswith(hint)
        }
    assert len(hints) >= 11 and met == hints


@pytest.mark.parametrize("chosen", [SIZES, SIZES | {"attention": "none"}], ids=["luong", "none"])
def test_what_goes_together_has_no_problems(chosen):
    assert list(combination_problems(ModelConfig(**chosen))) == []


free = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from(values)
        for name, values in {
            "attention": ["none", "luong", "bahdanau", "conditional"],
            "score": list(SCORES),
            "cell": list(CELLS),
            "decoder_cell": list(CELLS),
            "scope": ["local_m", "local_p"],
            "normalizer": ["sparsemax", "entmax15"],
            "heads": [2, 3],
            "projections": [True, False],
            "project_values": [False],
            "coverage": ["linear", "gru"],
            "encoder": ["unidirectional", "gnmt", "pyramid"],
            "encoder_layers": [2, 3],
            "decoder_layers": [2, 3],
            "encoder_projection": [6, 8],
            "encoder_self_attention": [1],
            "memory_embeddings": [True],
            "lexical_model": [True],
            "lexicon": [2],
            "decoder_self_attention": [True],
            "self_attention_heads": [2, 3],
            "source_order": ["reversed"],
            "encode_eos": [False],
            "attend_eos": [False],
            "summary": ["backward", "mean"],
            "bridge": ["copy", "zero"],
            "residual_from": [2],
            "query_layer": ["bottom"],
            "context_to_upper": [True],
            "input_feeding": [True, False],
            "feedback": ["context"],
            "context": ["input"],
            "readout": ["maxout", "none"],
            "readout_state": ["previous"],
            "readout_context": [True, False],
            "readout_embedding": [True, False],
            "decoder_size": [6, 4],
            "attention_size": [6],
            "tie_embeddings": ["none", "decoder"],
        }.items()
    },
)


@examples(60)
@given(free)
def test_any_settings_are_refused_with_a_hint_or_trained_and_stepped(chosen):
    """Nothing that is accepted breaks later: not when it is built, nor trained, nor searched."""
    sizes = SIZES | {"embedding_dropout": 0.0, "dropout": 0.0, "location_positions": 4, "window": 2}
    try:
        config = ModelConfig(**sizes | chosen)
    except ConfigError as refusal:
        assert refusal.hint
        return
    assert_works(config)


@pytest.mark.parametrize("kind", [*PLAIN, *ORDER_AND_SCORE], ids=str)
@examples(3)
@given(data=st.data())
def test_every_combination_gets_a_finite_gradient_where_it_is_used(kind: Kind, data: st.DataObject):
    assert_works(data.draw(model_configs(kind)))


def assert_works(config: ModelConfig) -> None:
    model, batch = model_of(config, seed=3), padded(PAIRS)
    with torch.no_grad():
        readouts, weights, _ = model.unroll(batch)
        one_by_one, stacked = stepped(model, batch)
        plain = batch_loss(model, batch, coverage=0.5).objective
        filled = padded_loss(model, batch.padded_to(*BatchBucket.for_batch(batch)), coverage=0.5)
    torch.testing.assert_close(filled.objective, plain, rtol=1e-9, atol=0)
    torch.testing.assert_close(readouts, one_by_one, rtol=0, atol=1e-9)
    assert (weights is None) == (stacked is None) == (config.attention == "none")
    model.train()
    batch_loss(model, batch, coverage=0.5).objective.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
