"""Whole models as plain loops over float64 numbers: every combination of settings of `model`.

The cells and encoders of `recurrent_references.py` and the attention of `attention_references.py`,
put together sentence by sentence and step by step. Nothing is batched or padded, and only the
weights of our modules are used, by their names.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import attention_references as ar
import numpy as np
import recurrent_references as rr
import torch
from recurrent_references import CellWeights, State
from references import Array, join, tanh, times
from tiny import drawn_entries
from torch import nn

from seq2seq.attention.attention import MultiHeadAttention
from seq2seq.batch import EOS, PAD
from seq2seq.config import ModelConfig
from seq2seq.model import EncoderDecoder

FERTILITY = 2.0  # N of Tu et al. (2016), section 3.1.1: as in their experiments


class Source(NamedTuple):
    """One sentence as the decoder sees it."""

    values: Array  # [S, M]
    mask: list[bool]  # [S]
    embeddings: list[Array]  # [S, E], of its pieces
    ids: list[int]  # [S]
    summary: Array  # [Z]
    final_states: list[State]  # of each encoder layer, its directions joined


class StepResult(NamedTuple):
    """One step of a decoder, and the state after it."""

    readout: Array  # [O], with a lexical model followed by [E]
    weights: list[Array]  # N heads, [S] each; none without attention
    states: list[State]  # lowest layer first
    feedback: Array | None
    coverage: Array | None  # [S, F]


def arrays_of(module: nn.Module) -> dict[str, Array]:
    return {name: value.detach().numpy() for name, value in module.named_parameters()}


class SlowModel:
    """The weights of one of our models and the equations that its settings choose."""

    def __init__(self, model: EncoderDecoder, config: ModelConfig) -> None:
        self.config = config
        self.encoder: Any = model.encoder
        self.decoder: Any = model.decoder
        self.output: Any = model.output

    def embedded(self, side: Any, piece: int) -> Array:
        """E y, times sqrt(E) if embeddings are scaled: Vaswani et al. (2017), section 3.4."""
        rows = side.embedding.weight.detach().numpy()
        return np.array(rows[piece] * (rows.shape[1] ** 0.5 if self.config.scale_embeddings else 1))

    # The encoder

    def encode(self, ids: Sequence[int]) -> Source:
        """ids without EOS"""
        config, encoder = self.config, self.encoder
        zeros = np.zeros(config.encoder_size)
        encoded = [*ids, EOS] if config.encode_eos else list(ids)
        reverse = config.source_order == "reversed"
        without_eos = reverse and not config.encode_eos  # so all is reversed
        pieces = encoded[::-1] if without_eos else encoded
        states, final_states = rr.encoder(
            [self.embedded(encoder, piece) for piece in pieces],
            [self._directions(layer) for layer in encoder.layers],
            State(zeros, zeros if "lstm" in config.cell else None),
            pyramid=config.encoder == "pyramid",
            reverse=reverse and config.encode_eos,
            residual_from=config.residual_from,
        )
        states = states[::-1] if without_eos else states
        if config.encoder_projection:
            parameters = dict(encoder.projection.named_parameters())
            states = [rr.affine(parameters, state) for state in states]
        for layer in encoder.self_attention:
            states = [self_attention(layer, state, states) for state in states]
        stride = 2 ** (config.encoder_layers - 1) if config.encoder == "pyramid" else 1
        attended = len(encoded) if config.attend_eos else len(ids)
        top = [state.hidden for state in final_states[-1]]
        summary = {"last": join(*top), "backward": top[-1], "mean": rr.mean(states)}
        memory = states
        embeddings = [self.embedded(encoder, piece) for piece in encoded]
        if config.memory_embeddings:
            memory = [join(*both) for both in zip(states, embeddings, strict=True)]
        return Source(
            np.array(memory),
            [position * stride < attended for position in range(len(states))],
            embeddings,
            encoded,
            summary[config.summary],
            [joined_state(directions) for directions in final_states],
        )

    def _directions(self, layer: Any) -> list[rr.Step]:
        return [
            rr.step_of(self.config.cell, dict(direction.named_parameters()))
            for direction in layer.directions
        ]

    # The decoder's parts

    def cell(self, layer: Any) -> rr.Step:
        kind = self.config.decoder_cell or self.config.cell
        return rr.step_of(kind, dict(layer.named_parameters()), extra_size=layer.extra_size)

    def cells(self) -> list[rr.Step]:
        return [self.cell(layer) for layer in self.decoder.stack.layers]

    def start(self, source: Source) -> list[State]:
        """zero; copy: Sutskever et al. (2014), section 2; tanh: Bahdanau et al. (2015), A.2.2."""
        config = self.config
        zeros = np.zeros(config.decoder_size)
        has_cell = "lstm" in (config.decoder_cell or config.cell)
        if config.bridge == "zero":
            return [State(zeros, zeros if has_cell else None)] * config.decoder_layers
        if config.bridge == "copy":
            return [
                State(
                    state.hidden,
                    (zeros if state.cell is None else state.cell) if has_cell else None,
                )
                for state in source.final_states
            ]
        bridge = self.decoder.bridge
        states = []
        for layer in range(config.decoder_layers):
            hidden = rr.affine(dict(bridge.hidden[layer].named_parameters()), source.summary)
            cell = None
            if has_cell:
                cell = rr.affine(dict(bridge.cell[layer].named_parameters()), source.summary)
            states.append(State(tanh(hidden), cell))
        return states

    def attend(
        self, query: Array, source: Source, step_index: int = 1, coverage: Array | None = None
    ) -> ar.MultiHeadResult:
        """Attention at a step, counted from 1."""
        attention = self.decoder.attention
        is_multi_head = isinstance(attention, MultiHeadAttention)
        values, heads = source.values, attention.heads if is_multi_head else None
        inner = attention if heads is None else attention.attention
        score = arrays_of(inner.score)
        normalizer = ar.NORMALIZERS[self.config.normalizer]
        w = {} if heads is None else ar.head_weights(attention, heads)
        scores, windows = [], []
        for head in range(heads or 1):
            which = None if heads is None else head
            head_query = query
            if heads is not None:
                head_query = ar.head_input(query, w.get("W_Q"), head, heads)
            windows.append(self._window(inner, head_query, source.mask, step_index, which))
            if coverage is None:
                scores.append(ar.scores_of(self.config.score, score, head=which))
                continue
            matrix = self.decoder.coverage.key.weight.detach().numpy()
            matrix = matrix.reshape(heads or 1, -1, matrix.shape[1])[head]  # V of this head
            scores.append(
                ar.covered_scores_of(
                    self.config.score, score, coverage, for_coverage=matrix, head=which
                )
            )
        if heads is None:
            result = ar.attend(query, values, values, scores[0], windows[0], normalizer=normalizer)
            return ar.MultiHeadResult(result.context, [result.weights])
        return ar.multi_head(query, values, values, w, scores, windows, normalizer=normalizer)

    def _window(
        self, attention: Any, query: Array, mask: list[bool], step_index: int, head: int | None
    ) -> ar.Window:
        if self.config.scope == "global":
            return ar.global_window(mask)
        if self.config.scope == "local_m":
            return ar.local_m(step_index, mask, reach=self.config.window)
        w = arrays_of(attention.scope)
        own = {name: value if head is None else value[head] for name, value in w.items()}
        return ar.local_p(
            query,
            mask,
            reach=self.config.window,
            for_query=own["weight"],
            vector=own["reduction"][0],
        )

    def first_coverage(self, source: Source) -> Array | None:
        """The coverage before the first step."""
        if self.config.coverage == "none":
            return None
        size = 1 if self.config.coverage == "linear" else self.config.coverage_size
        return np.zeros((len(source.values), size))

    def next_coverage(
        self, before: Array | None, attended: ar.MultiHeadResult, query: Array, source: Source
    ) -> Array | None:
        if before is None:
            return None
        weights = np.mean(attended.weights, axis=0)
        w = arrays_of(self.decoder.coverage)
        if self.config.coverage == "linear":
            vector = w["fertility.weight"][0]
            return np.array(
                [
                    [
                        ar.linear_coverage(
                            old[0], weight, ar.fertility(value, vector=vector, maximum=FERTILITY)
                        )
                    ]
                    for old, weight, value in zip(before, weights, source.values, strict=True)
                ]
            )
        gates = CellWeights(
            np.concatenate([w["weight.weight"], w["memory.weight"], w["query.weight"]], axis=1),
            w["recurrent.weight"],
            w["memory.bias"],
            w["recurrent.bias"],
        )
        return np.array(
            [
                ar.gru_coverage(old, weight, value, query, gates)
                for old, weight, value in zip(before, weights, source.values, strict=True)
            ]
        )

    def readout(self, state: Array, context: Array | None, embedded: Array) -> Array:
        """g(W [s ; c ; E y] + b), of those parts that the settings choose."""
        parts = [state]
        if self.config.readout_has_context:
            assert context is not None
            parts.append(context)
        if self.config.readout_has_embedding:
            parts.append(embedded)
        joined = join(*parts)
        if self.config.readout != "none":
            joined = rr.affine(dict(self.decoder.readout.linear.named_parameters()), joined)
        return ar.READOUTS[self.config.readout](joined)

    def logits(self, readout: Array) -> Array:
        """W_o t + b; with tied embeddings W_o is E, after a map where widths differ.

        With a lexical model W_l h is added: Nguyen & Chiang (2018), section 4.
        """
        lexical = rr.NOTHING
        if self.config.lexical_model:
            width = len(readout) - self.config.embedding_size
            readout, lexical = readout[:width], readout[width:]
        if self.output.narrow is not None:
            readout = times(self.output.narrow.weight.detach().numpy(), readout)
        logits = rr.affine(dict(self.output.vocabulary.named_parameters()), readout)
        if self.config.lexical_model:
            logits = logits + times(self.output.lexical.weight.detach().numpy(), lexical)
        return logits

    def bias(self, weights: list[Array], source: Source) -> Array:
        """log(1 + sum_s a_s p(y|x_s) / 0.001) of each id y: Arthur et al. (2016), 4.2.1."""
        total = np.zeros(self.output.vocabulary.weight.shape[0])
        if self.config.lexicon:
            ids, probabilities = drawn_entries(len(total), self.config.lexicon)
            for weight, piece in zip(np.mean(weights, axis=0), source.ids, strict=True):
                for id_, p in zip(ids[piece].tolist(), probabilities[piece].tolist(), strict=True):
                    if id_ not in (PAD, -1):
                        total[id_] += weight * p
        return np.log(1 + total / 0.001)

    def beside(self, readout: Array, weights: list[Array], source: Source) -> Array:
        """The readout, and the vector of the lexical model: Nguyen & Chiang (2018), section 4."""
        if not self.config.lexical_model:
            return readout
        mean = np.mean(weights, axis=0)  # [S], of all heads
        attended = tanh(sum(a * f for a, f in zip(mean, source.embeddings, strict=True)))
        parameters = dict(self.decoder.lexical.linear.named_parameters())
        return join(readout, tanh(rr.affine(parameters, attended)) + attended)

    # Whole sentences

    def decode(self, source: Source, ids: Sequence[int]) -> list[StepResult]:
        """One step for each id of the decoder's input, BOS first."""
        config, decoder = self.config, self.decoder
        cells, states = self.cells(), self.start(source)
        coverage = self.first_coverage(source)
        past: list[Array] = []
        steps: list[StepResult] = []
        feedback_size = 0
        if config.attention != "none" and config.uses_input_feeding:
            feedback_size = decoder.feedback_size
        feedback = np.zeros(feedback_size)
        for step_index, previous in enumerate(ids, start=1):
            embedded = self.embedded(decoder, previous)
            before = states
            if config.attention == "none":
                extra = source.summary if config.context == "input" else rr.NOTHING
                states, hidden = self._stack(embedded, before, cells, extra)
                hidden = self._self_attend(hidden, past)
                readout = self.readout(hidden, source.summary, embedded)
                steps.append(StepResult(readout, [], states, None, None))
                continue

            def attend(
                query: Array, step_index: int = step_index, coverage: Array | None = coverage
            ) -> tuple[ar.MultiHeadResult, Array | None]:
                attended = self.attend(query, source, step_index, coverage)
                return attended, self.next_coverage(coverage, attended, query, source)

            if config.attention == "luong" and config.query_layer == "top":
                states, hidden = self._stack(embedded, before, cells, feedback)
                hidden = self._self_attend(hidden, past)
                attended, coverage = attend(hidden)
            else:
                if config.attention == "bahdanau":
                    query = before[0 if config.query_layer == "bottom" else -1].hidden
                    attended, coverage = attend(query)
                    lowest = cells[0](embedded, join(attended.context, feedback), before[0])
                elif config.attention == "conditional":
                    between = self.cell(decoder.first)(embedded, feedback, before[0])
                    attended, coverage = attend(between.hidden)
                    lowest = cells[0](attended.context, rr.NOTHING, between)
                else:
                    lowest = cells[0](embedded, feedback, before[0])
                    attended, coverage = attend(lowest.hidden)
                extra = attended.context if config.context_to_upper else rr.NOTHING
                upper, hidden = rr.upper_layers(
                    lowest.hidden,
                    before[1:],
                    cells[1:],
                    extra=extra,
                    residual_from=config.residual_from,
                )
                states = [lowest, *upper]
                hidden = self._self_attend(hidden, past)
            state = before[-1].hidden if config.readout_state == "previous" else hidden
            readout = self.readout(state, attended.context, embedded)
            if feedback_size:
                feedback = readout if config.feedback == "readout" else attended.context
            next_feedback = feedback if feedback_size else None
            readout = self.beside(readout, attended.weights, source)
            steps.append(StepResult(readout, attended.weights, states, next_feedback, coverage))
        return steps

    def _stack(
        self, x: Array, states: Sequence[State], cells: Sequence[rr.Step], extra: Array
    ) -> tuple[list[State], Array]:
        residual_from = self.config.residual_from
        return rr.stack(
            x, states, cells, extra=extra, upper_extra=rr.NOTHING, residual_from=residual_from
        )

    def _self_attend(self, hidden: Array, past: list[Array]) -> Array:
        """The state after self-attention to all states so far; it is appended to them."""
        past.append(hidden)
        if not self.config.decoder_self_attention:
            return hidden
        return self_attention(self.decoder.self_attention, hidden, past)


def self_attention(layer: Any, state: Array, states: Sequence[Array]) -> Array:
    """LN(x + MultiHead(x, X, X)) with scaled dots: Vaswani et al. (2017), sections 3.1 and 3.2."""
    heads, rows = layer.attention.heads, np.array(states)
    attended = ar.multi_head(
        state,
        rows,
        rows,
        ar.head_weights(layer.attention, heads),
        [ar.scores_of("scaled_dot", {})] * heads,
        [ar.global_window([True] * len(rows))] * heads,
    )
    w = arrays_of(layer.norm)
    return rr.layer_norm(state + attended.context, rr.Norm(w["weight"], w["bias"]))


def joined_state(directions: Sequence[State]) -> State:
    cells = [state.cell for state in directions if state.cell is not None]
    hidden = join(*(state.hidden for state in directions))
    return State(hidden, join(*cells) if cells else None)


def tensor(value: object) -> torch.Tensor:
    return torch.from_numpy(np.array(value))
