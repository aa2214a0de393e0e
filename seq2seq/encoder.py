"""The encoder: source ids to memory, in one direction or both."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.attention.masks import AttentionMask
from seq2seq.batch import EOS, Source
from seq2seq.config import EncoderKind, num_directions
from seq2seq.kernels.dropout import NO_DROPOUT, DropoutRates
from seq2seq.kernels.padding import length_mask
from seq2seq.recurrent.cells import CellState, is_residual
from seq2seq.recurrent.layers import LayerSpec, RecurrentLayer

SummaryKind = Literal["last", "backward", "mean"]


class EncoderOutput(NamedTuple):
    """A batch of encoded sources, S' = ceil(S / stride) states for the longest source S."""

    states: Tensor  # [B, S', M], 0 where there is padding
    mask: Tensor  # [B, S'] bool, True where there is a state
    summary: Tensor  # [B, Z]
    final_states: tuple[CellState, ...]  # of each layer, its directions joined
    stride: int  # source positions to a state
    embeddings: Tensor | None = None  # [B, S', E], if they are kept


class Encoder(nn.Module):
    """Recurrent layers over the source, dropout after each; padding changes no state.

    bidirectional: every layer has two directions (Schuster & Paliwal, 1997), whose states are
    joined. unidirectional: every layer goes forward only (Sutskever et al., 2014). gnmt: the lowest
    layer has two directions, the others go forward (Wu et al., 2016, section 3.2). pyramid:
    bidirectional, and from the second layer on the inputs are pairs of states, h'_i = RNN(h'_{i-1},
    [h_{2i}; h_{2i+1}]) (Chan et al., 2016, equation 5): each layer halves the length.

    With `reverse_source` the words are encoded from the last to the first, and then the
    end-of-sentence symbol (Sutskever et al., 2014, section 3.3); states are put back to the
    positions of their words. Without `encode_eos` that symbol is not encoded, and not part of
    memory. From layer `residual_from` on (the lowest is 1), the input of a layer is added to its
    output, after dropout, wherever both are equally wide. `projection` is the width of a linear map
    of the top states (Chen et al., 2018, RNMT+), and `self_attention` are layers after it. With
    `append_embeddings` the memory of a piece is its state followed by its embedding (Gehring et
    al., 2017, equation 2, add it to the values of attention);
    with `keep_embeddings` the embeddings are returned beside the states.

    The `tags` ids behind EOS are tags, such as a source's language: word dropout never drops them.

    The summary is the top layer's final state (last), that of its backward direction alone
    (backward: at the first word, Bahdanau et al., 2015, appendix A.2.2), or the mean of the
    states, without appended embeddings (mean: Nematus, Sennrich et al., 2017).
    """

    def __init__(
        self,
        spec: LayerSpec,
        *,
        embedding: nn.Embedding,
        layers: int,
        kind: EncoderKind = "bidirectional",
        reverse_source: bool = False,
        encode_eos: bool = True,
        residual_from: int | None = None,
        projection: int | None = None,
        self_attention: nn.ModuleList | None = None,
        append_embeddings: bool = False,
        keep_embeddings: bool = False,
        summary: SummaryKind = "last",
        tags: int = 0,
        dropout: DropoutRates = NO_DROPOUT,
    ) -> None:
        super().__init__()
        if kind == "pyramid" and reverse_source:
            raise ValueError("a pyramid's states span pairs of words: its source is not reversed")
        if kind == "pyramid" and (append_embeddings or keep_embeddings):
            raise ValueError("a pyramid's states span pairs of words: none has one embedding")
        directions = [num_directions(kind, layer) for layer in range(1, layers + 1)]
        self.final_sizes = tuple(each * spec.hidden_size for each in directions)
        self.joins_pairs = kind == "pyramid"
        self.stride = 2 ** (layers - 1) if self.joins_pairs else 1
        self.reverse_source = reverse_source
        self.encode_eos = encode_eos
        self.residual_from = residual_from
        self.summary = summary
        self.hidden_size = spec.hidden_size
        self.embedding = embedding
        self.tags = tags
        self.embedding_dropout = dropout.embedding_dropout()
        self.dropout = dropout.output_dropout()
        joined = 2 if self.joins_pairs else 1
        input_sizes = [embedding.embedding_dim, *(joined * size for size in self.final_sizes[:-1])]
        self.layers = nn.ModuleList(
            DirectionalLayer(spec, input_size=size, directions=each)
            for size, each in zip(input_sizes, directions, strict=True)
        )
        top = self.final_sizes[-1]
        states_size = top if projection is None else projection
        self.append_embeddings, self.keep_embeddings = append_embeddings, keep_embeddings
        self.memory_size = states_size + (embedding.embedding_dim if append_embeddings else 0)
        self.projection = (
            None if projection is None else nn.Linear(top, projection, bias=spec.biases)
        )
        self.self_attention = nn.ModuleList() if self_attention is None else self_attention
        sizes = {"last": top, "backward": spec.hidden_size, "mean": states_size}
        self.summary_size = sizes[summary]

    def encode(self, source: Source) -> EncoderOutput:
        """Every source has at least one piece besides EOS.

        Lengths on the CPU cut the ids to the longest, unless the source is a share of a wider
        batch; on a GPU that would wait for it.
        """
        ids, lengths = source.ids, source.lengths
        if not (lengths.is_cuda or source.keeps_width):
            ids = ids[:, : int(lengths.max())]
        width, lengths = ids.shape[1], lengths.to(ids.device, non_blocking=True)
        encoded = lengths if self.encode_eos else lengths - 1  # [B], how many pieces
        order = word_reversal_index(lengths, width) if self.reverse_source else None  # [B, S]
        embedded = self._embed(ids if order is None else ids.gather(1, order), encoded)
        states, final_states = self._encode_layers(embedded, encoded)
        if order is not None:
            states, embedded = reordered(states, order), reordered(embedded, order)
        counts = (encoded + self.stride - 1) // self.stride  # [B], how many states
        mask = length_mask(counts, states.shape[1])  # [B, S']
        states = self._refine(states, mask)
        summary = self._summarise(states, mask, final_states[-1])
        if self.append_embeddings:
            states = torch.cat([states, embedded], dim=-1)
        kept = embedded if self.keep_embeddings else None
        return EncoderOutput(states, mask, summary, final_states, self.stride, kept)

    def _embed(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """[B, S] -> [B, S, E], 0 where there is padding."""
        nonpad = length_mask(lengths, ids.shape[1]).unsqueeze(-1)  # [B, S, 1]
        is_tag = self._is_tag(ids) if self.tags else None
        return self.embedding_dropout(self.embedding(ids), is_tag) * nonpad  # type: ignore[no-any-return]

    def _encode_layers(
        self, outputs: Tensor, lengths: Tensor
    ) -> tuple[Tensor, tuple[CellState, ...]]:
        """Embeddings [B, S, E] -> the top layer's states [B, S', M], 0 where there is padding, and
        all final states."""
        final_states = []
        for number, layer in enumerate(self.layers, start=1):
            if self.joins_pairs and number > 1:
                outputs, lengths = join_pairs(outputs), (lengths + 1) // 2
            inputs = outputs
            outputs, final_state = layer(inputs, lengths)
            outputs = self.dropout(outputs)
            if is_residual(number, self.residual_from) and outputs.shape == inputs.shape:
                outputs = outputs + inputs
            final_states.append(final_state)
        return outputs, tuple(final_states)

    def _is_tag(self, ids: Tensor) -> Tensor:
        """[B, S] -> [B, S] bool"""
        return (ids > EOS) & (ids <= EOS + self.tags)

    def _refine(self, states: Tensor, mask: Tensor) -> Tensor:
        """The top layer's states, projected and after self-attention. [B, S', M] -> [B, S', M]"""
        if self.projection is not None:
            states = self.projection(states)
        for layer in self.self_attention:
            states = layer(states, AttentionMask.padding(mask))
        return states * mask.unsqueeze(-1)

    def _summarise(self, states: Tensor, mask: Tensor, final_state: CellState) -> Tensor:
        """[B, S', M], [B, S'] and the top layer's final state -> [B, Z]"""
        if self.summary == "mean":
            return states.sum(1) / mask.sum(1, keepdim=True)
        hidden = final_state.hidden
        return self.dropout(  # type: ignore[no-any-return]
            hidden if self.summary == "last" else hidden[:, -self.hidden_size :]
        )


class DirectionalLayer(nn.Module):
    """A layer of one direction, or of two whose states are joined.

    For the backward direction each sentence is reversed within its length, so that padding comes
    last in both directions, where it changes no state of a token.
    """

    def __init__(self, spec: LayerSpec, *, input_size: int, directions: int) -> None:
        super().__init__()
        self.directions = nn.ModuleList(
            spec.build(input_size=input_size) for _ in range(directions)
        )

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, CellState]:
        """inputs [B, S, I] -> states [B, S, M], 0 where there is padding, and the final state."""
        forwards, *backwards = cast(list[RecurrentLayer], list(self.directions))
        states, final_state = forwards.encode(inputs, lengths)
        for layer in backwards:
            index = reversal_index(lengths, inputs.shape[1])  # [B, S]
            reversed_states, other = layer.encode(reordered(inputs, index), lengths)
            others = reordered(reversed_states, index)  # [B, S, H]
            states = torch.cat([states, others], dim=-1)  # [B, S, M]
            final_state = _joined([final_state, other])
        nonpad = length_mask(lengths, states.shape[1])
        return states.masked_fill(~nonpad.unsqueeze(-1), 0.0), final_state


def reversal_index(lengths: Tensor, width: int) -> Tensor:
    """The index that reverses each sentence and leaves its padding in place; its own inverse.

    lengths [B] -> [B, width]
    """
    positions = torch.arange(width, device=lengths.device)
    ends = lengths.unsqueeze(1)  # [B, 1]
    return torch.where(positions < ends, ends - 1 - positions, positions)


def word_reversal_index(lengths: Tensor, width: int) -> Tensor:
    """The index that reverses the words of each sentence and leaves EOS and padding in place.

    lengths [B], EOS included -> [B, width]
    """
    return reversal_index(lengths - 1, width)


def reordered(inputs: Tensor, order: Tensor) -> Tensor:
    """The positions of each sentence in another order. inputs [B, S, I], order [B, S]

    `take_along_dim` moves single numbers, not rows of them, and took 30 times as long on a CPU.
    """
    sentences, width = order.shape
    starts = width * torch.arange(sentences, device=order.device).unsqueeze(1)  # [B, 1]
    rows = inputs.flatten(0, 1).index_select(0, (starts + order).flatten())
    return rows.view_as(inputs)


def join_pairs(states: Tensor) -> Tensor:
    """Each state beside the next one, an odd last one beside 0. [B, S, M] -> [B, ceil(S/2), 2M]"""
    even = F.pad(states, (0, 0, 0, states.shape[1] % 2))
    return even.reshape(len(even), -1, 2 * even.shape[-1])


def _joined(states: Sequence[CellState]) -> CellState:
    """The states of all directions, [B, H] each, as one of [B, M]."""
    cells = [state.cell for state in states if state.cell is not None]
    hidden = torch.cat([state.hidden for state in states], dim=-1)
    return CellState(hidden, torch.cat(cells, dim=-1) if cells else None)
