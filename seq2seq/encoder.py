"""The encoder: source ids to memory, read in one direction or both."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.attention.masks import AttentionMask
from seq2seq.batch import EOS, Source
from seq2seq.config import CellKind
from seq2seq.kernels.dropout import Dropout, EmbeddingDropout
from seq2seq.kernels.padding import length_mask
from seq2seq.recurrent.cells import NO_NOISE, CellNoise, CellState
from seq2seq.recurrent.layers import LAYERS, RecurrentLayer

EncoderKind = Literal["bidirectional", "unidirectional", "gnmt", "pyramid"]
SummaryKind = Literal["last", "backward", "mean"]


class Encoded(NamedTuple):
    """A batch of sources as the encoder leaves them, S' = ceil(S / stride) for the longest S."""

    states: Tensor  # [B, S', M], 0 where there is padding
    mask: Tensor  # [B, S'] bool
    summary: Tensor  # [B, Z]
    last: tuple[CellState, ...]  # a layer's last state each, its directions joined
    stride: int  # source positions to a state


class Encoder(nn.Module):
    """Recurrent layers over the source, dropout after each; no direction ever reads padding.

    bidirectional: every layer reads both ways (Schuster & Paliwal, 1997), its states joined.
    unidirectional: every layer reads forward only (Sutskever et al., 2014). gnmt: the lowest layer
    reads both ways, the others forward (Wu et al., 2016, section 3.2). pyramid: bidirectional, and
    from the second layer on a layer reads pairs of states, h'_i = RNN(h'_{i-1}, [h_{2i};
    h_{2i+1}]) (Chan et al., 2016, equation 5): each halves the time.

    With `reverse_source` the words are read from the last to the first, and then the
    end-of-sentence symbol (Sutskever et al., 2014, section 3.3); states are put back to where
    their words are. Without `encode_eos` that symbol is not read, and not part of memory. From
    layer `residual_from` on (the lowest is 1), what a layer reads is added to what it makes, after
    dropout, wherever both are equally wide. `projection` is the width of a linear map of the top
    states (Chen et al., 2018, RNMT+), and `self_attention` are layers over what it gives.

    The `tags` ids behind EOS say what kind of sentence follows: word dropout leaves them alone.

    The summary is the top layer's last state (last), of its backward direction alone (backward:
    at the first word, Bahdanau et al., 2015, appendix A.2.2), or the mean of the memory (mean:
    Nematus, Sennrich et al., 2017).
    """

    def __init__(
        self,
        *,
        embedding: nn.Embedding,
        hidden_size: int,
        layers: int,
        cell: CellKind,
        kind: EncoderKind = "bidirectional",
        reverse_source: bool = False,
        encode_eos: bool = True,
        residual_from: int | None = None,
        projection: int | None = None,
        self_attention: nn.ModuleList | None = None,
        summary: SummaryKind = "last",
        biases: bool = True,
        embedding_dropout: float = 0.0,
        word_dropout: float = 0.0,
        tags: int = 0,
        dropout: float = 0.0,
        variational: bool = False,
        noise: CellNoise = NO_NOISE,
    ) -> None:
        super().__init__()
        if kind == "pyramid" and reverse_source:
            raise ValueError("a pyramid's states span pairs of places: it cannot read in reverse")
        ways = [_num_directions(kind, number) for number in range(1, layers + 1)]
        self.last_sizes = tuple(each * hidden_size for each in ways)
        self.halves = kind == "pyramid"
        self.stride = 2 ** (layers - 1) if self.halves else 1
        self.reverse_source = reverse_source
        self.encode_eos = encode_eos
        self.residual_from = residual_from
        self.summary = summary
        self.hidden_size = hidden_size
        self.embedding = embedding
        self.tags = tags
        self.embedding_dropout = EmbeddingDropout(
            embedding_dropout, words=word_dropout, variational=variational
        )
        self.dropout = Dropout(dropout, variational=variational)
        joined = 2 if self.halves else 1
        read_sizes = [embedding.embedding_dim, *(joined * size for size in self.last_sizes[:-1])]
        self.layers = nn.ModuleList(
            Reader(
                cell=cell,
                input_size=read,
                hidden_size=hidden_size,
                ways=each,
                biases=biases,
                noise=noise,
            )
            for read, each in zip(read_sizes, ways, strict=True)
        )
        top = self.last_sizes[-1]
        self.memory_size = top if projection is None else projection
        self.projection = None if projection is None else nn.Linear(top, projection, bias=biases)
        self.self_attention = nn.ModuleList() if self_attention is None else self_attention
        sizes = {"last": top, "backward": hidden_size, "mean": self.memory_size}
        self.summary_size = sizes[summary]

    def encode(self, source: Source) -> Encoded:
        """Each sentence has a piece besides EOS.

        Lengths on the CPU cut the ids to the longest; on a GPU that would wait for it.
        """
        source_ids, lengths = source.ids, source.lengths
        if not lengths.is_cuda:
            source_ids = source_ids[:, : int(lengths.max())]
        width, lengths = source_ids.shape[1], lengths.to(source_ids.device, non_blocking=True)
        read = lengths if self.encode_eos else lengths - 1  # [B]
        if self.reverse_source:
            order = word_reversal_index(lengths, width)  # [B, S]
            states, last = self._read(source_ids.gather(1, order), read)
            states = states.take_along_dim(order.unsqueeze(-1), dim=1)  # [B, S, M]
        else:
            states, last = self._read(source_ids, read)
        remaining = (read + self.stride - 1) // self.stride
        mask = length_mask(remaining, states.shape[1])  # [B, S']
        states = self._refine(states, mask)
        return Encoded(states, mask, self._summarise(states, mask, last[-1]), last, self.stride)

    def _read(self, source_ids: Tensor, lengths: Tensor) -> tuple[Tensor, tuple[CellState, ...]]:
        """The top layer's states [B, S', M], 0 where there is padding, and all last states."""
        real = length_mask(lengths, source_ids.shape[1]).unsqueeze(-1)  # [B, S, 1]
        outputs = self.embedding_dropout(
            self.embedding(source_ids), self._tagged(source_ids) if self.tags else None
        )
        outputs = outputs * real  # [B, S, E]
        last = []
        for number, layer in enumerate(self.layers, start=1):
            if self.halves and number > 1:
                outputs, lengths = join_pairs(outputs), (lengths + 1) // 2
            inputs = outputs
            outputs, state = layer(inputs, lengths)
            outputs = self.dropout(outputs)
            if self._is_residual(number) and outputs.shape == inputs.shape:
                outputs = outputs + inputs
            last.append(state)
        return outputs, tuple(last)

    def _tagged(self, source_ids: Tensor) -> Tensor:
        """[B, S] -> [B, S] bool"""
        return (source_ids > EOS) & (source_ids <= EOS + self.tags)

    def _is_residual(self, number: int) -> bool:
        return self.residual_from is not None and number >= self.residual_from

    def _refine(self, states: Tensor, mask: Tensor) -> Tensor:
        """The top layer's states to memory. [B, S', M] -> [B, S', M]"""
        if self.projection is not None:
            states = self.projection(states)
        for layer in self.self_attention:
            states = layer(states, AttentionMask.padding(mask))
        return states * mask.unsqueeze(-1)

    def _summarise(self, states: Tensor, mask: Tensor, last: CellState) -> Tensor:
        """[B, S', M], [B, S'] and the top layer's last state -> [B, Z]"""
        if self.summary == "mean":
            return states.sum(1) / mask.sum(1, keepdim=True)
        hidden = last.hidden if self.summary == "last" else last.hidden[:, -self.hidden_size :]
        return self.dropout(hidden)  # type: ignore[no-any-return]


class Reader(nn.Module):
    """A layer that reads one way or both.

    Backwards a sentence is turned round within its length, so that padding stands behind what is
    read either way and no state that is kept has seen any.
    """

    def __init__(
        self,
        *,
        cell: CellKind,
        input_size: int,
        hidden_size: int,
        ways: int,
        biases: bool,
        noise: CellNoise = NO_NOISE,
    ) -> None:
        super().__init__()
        self.directions = nn.ModuleList(
            LAYERS[cell](input_size=input_size, hidden_size=hidden_size, biases=biases, noise=noise)
            for _ in range(ways)
        )

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, CellState]:
        """inputs [B, S, I] -> states [B, S, D], 0 where there is padding, and the last one."""
        forwards, *backwards = cast(list[RecurrentLayer], list(self.directions))
        states, last = forwards.read(inputs, lengths)
        for layer in backwards:
            turned = reversal_index(lengths, inputs.shape[1]).unsqueeze(-1)  # [B, S, 1]
            others, other_last = layer.read(inputs.take_along_dim(turned, dim=1), lengths)
            states = torch.cat([states, others.take_along_dim(turned, dim=1)], dim=-1)  # [B, S, D]
            last = _joined([last, other_last])
        real = length_mask(lengths, states.shape[1])
        return states.masked_fill(~real.unsqueeze(-1), 0.0), last


def reversal_index(lengths: Tensor, width: int) -> Tensor:
    """Where each place reads from when all goes from the last to the first; its own inverse.

    Padding keeps its place. lengths [B] -> [B, width]
    """
    places = torch.arange(width, device=lengths.device)
    ends = lengths.unsqueeze(1)  # [B, 1]
    return torch.where(places < ends, ends - 1 - places, places)


def word_reversal_index(lengths: Tensor, width: int) -> Tensor:
    """As `reversal_index` for the words alone: the end-of-sentence symbol keeps its place."""
    return reversal_index(lengths - 1, width)


def join_pairs(states: Tensor) -> Tensor:
    """Each state beside the next one, an odd last one beside 0. [B, S, M] -> [B, ceil(S/2), 2M]"""
    even = F.pad(states, (0, 0, 0, states.shape[1] % 2))
    return even.reshape(len(even), -1, 2 * even.shape[-1])


def _joined(states: Sequence[CellState]) -> CellState:
    """The states of each direction, [B, H], as one, [B, D]."""
    cells = [state.cell for state in states if state.cell is not None]
    hidden = torch.cat([state.hidden for state in states], dim=-1)
    return CellState(hidden, torch.cat(cells, dim=-1) if cells else None)


def _num_directions(kind: EncoderKind, number: int) -> int:
    """How many ways a layer reads; the lowest is number 1."""
    return 1 if kind == "unidirectional" or (kind == "gnmt" and number > 1) else 2
