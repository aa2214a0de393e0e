"""Settings of `model` drawn over every axis at once, all of which go together."""

from typing import Any

from hypothesis import strategies as st
from tiny import CELLS, Kind

from seq2seq.config import ModelConfig

COVERED = ("dot", "scaled_dot", "general", "additive", "concat", "concat_fixed")
flags = st.booleans()


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


@st.composite
def settings_of_source(draw: st.DrawFn) -> dict[str, Any]:
    """The settings of embeddings and encoder; every width of another size."""
    encoder = draw(one_of("bidirectional", "unidirectional", "gnmt", "pyramid"))
    by_piece = encoder != "pyramid"  # whose states span pairs of neighbours
    appends = by_piece and draw(flags)
    return {
        "embedding_size": 12 if appends else 5,  # even, so that two heads divide memory
        "memory_embeddings": appends,
        "scale_embeddings": draw(flags),
        "tie_embeddings": draw(one_of("none", "decoder", "all")),
        "cell": draw(st.sampled_from(CELLS)),
        "recurrent_biases": draw(flags),
        "encoder": encoder,
        "encoder_size": 4,
        "encoder_layers": draw(st.integers(1, 3)),
        "encoder_projection": draw(one_of(None, None, 6)),
        "encoder_self_attention": draw(one_of(0, 0, 1, 2)),
        "self_attention_heads": draw(one_of(1, 2)),
        "source_order": draw(one_of("forward", "reversed")) if by_piece else "forward",
        "encode_eos": draw(flags),
        "summary": draw(one_of("last", "backward", "mean")),
        "residual_from": draw(one_of(None, 2, 3)),
        "attend_eos": draw(flags),
        "embedding_dropout": 0.0,
        "dropout": 0.0,
        "variational_dropout": draw(flags),
        "zoneout": draw(one_of(0.0, 0.0, 0.3)),
    }


@st.composite
def model_settings(draw: st.DrawFn, kind: Kind) -> dict[str, Any]:
    """Settings with that order of attention, score and context, and all others drawn."""
    attends = kind.attention != "none"
    chosen = draw(settings_of_source())
    memory = ModelConfig(**chosen).memory_size
    copied = 4 if chosen["encoder"] == "unidirectional" else 8  # the width of a last state
    layers = draw(st.integers(1, 3))
    chosen |= {
        "attention": kind.attention,
        "score": kind.score,
        "context": kind.context if not attends else draw(one_of("state", "input")),
        "decoder_cell": draw(one_of(None, *CELLS)),
        "decoder_layers": layers,
        "query_layer": draw(one_of("top", "bottom")),
        "readout": draw(one_of("tanh", "maxout", "none")),
        "readout_size": draw(one_of(None, 7)),
        "readout_embedding": draw(one_of(None, True, False)),
        "output_bias": draw(flags),
    }
    bridges, widths = ["tanh", "zero"], [memory, 10]
    if chosen["encoder"] != "gnmt" and layers == chosen["encoder_layers"]:
        bridges.append("copy")
    if attends:
        by_piece = chosen["encoder"] != "pyramid"
        chosen |= draw(settings_of_attention(kind, layers, by_piece=by_piece))
        if (
            kind.score in ("dot", "scaled_dot")
            and not ModelConfig(**_roomy(chosen)).uses_projections
        ):
            widths = [memory]
            bridges = bridges if copied == memory else ["tanh", "zero"]
        elsewhere = kind.attention != "luong" or chosen["context_to_upper"]
        elsewhere = elsewhere or chosen.get("feedback") == "context"  # something else uses it too
        chosen["readout_context"] = draw(one_of(None, True, False) if elsewhere else st.none())
    else:
        chosen["readout_context"] = draw(one_of(None, False, kind.context == "input"))
        chosen["input_feeding"] = draw(one_of(None, False))
    chosen["bridge"] = draw(st.sampled_from(bridges))
    chosen["decoder_size"] = copied if chosen["bridge"] == "copy" else draw(st.sampled_from(widths))
    previous = chosen.get("readout_state") == "previous"
    chosen["decoder_self_attention"] = not previous and draw(flags)
    return chosen


@st.composite
def settings_of_attention(
    draw: st.DrawFn, kind: Kind, layers: int, *, by_piece: bool
) -> dict[str, Any]:
    chosen = {
        "attention_size": 6,
        "lexical_model": by_piece and draw(flags),
        "lexicon": draw(one_of(0, 2, 5)) if by_piece else 0,
        "location_positions": draw(one_of(3, 5, 20)),
        "scope": draw(one_of("global", "local_m", "local_p")),
        "window": draw(one_of(1, 2, 9)),
        "normalizer": draw(one_of("softmax", "sparsemax", "entmax15")),
        "heads": draw(one_of(1, 2)),
        "projections": draw(one_of(None, True, False)),
        "project_values": draw(flags),
        "coverage": draw(one_of("none", "linear", "gru")) if kind.score in COVERED else "none",
        "coverage_size": 3,
        "query_layer": draw(one_of("top", "bottom")),
        "input_feeding": draw(one_of(None, True, False)),
        "readout_state": draw(one_of("new", "new", "previous")),
    }
    if kind.attention == "conditional" and layers > 1:
        chosen["query_layer"] = "bottom"
    too_late = kind.attention == "luong" and chosen["query_layer"] == "top"
    chosen["context_to_upper"] = layers > 1 and not too_late and draw(flags)
    feeding = chosen["input_feeding"]
    if feeding or (feeding is None and kind.attention == "luong"):
        chosen["feedback"] = draw(one_of("readout", "context"))
    return chosen


@st.composite
def model_configs(draw: st.DrawFn, /, kind: Kind, **fixed: Any) -> ModelConfig:
    """A model with that order of attention, score and context; `fixed` settings are not drawn."""
    return ModelConfig(**draw(model_settings(kind)) | fixed)


def _roomy(settings: dict[str, Any]) -> dict[str, Any]:
    """A configuration whose decoder fits any score."""
    return settings | {"score": "general", "decoder_size": 10, "bridge": "zero", "coverage": "none"}
