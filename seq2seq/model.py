"""The translation model: an encoder, a decoder and an output layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.batch import PAD, Batch, Source
from seq2seq.decoders.contract import Decoder, Memory
from seq2seq.decoders.lexicon import Lexicon
from seq2seq.encoder import Encoder
from seq2seq.kernels.linear_cross_entropy import CrossEntropy, linear_cross_entropy
from seq2seq.kernels.logit_bias import LogitBias
from seq2seq.kernels.padding import length_mask
from seq2seq.kernels.products import active_products, bound_linear, linear

_ALIGNED = 16  # rows of an output layer's weight in search


class ScaledEmbedding(nn.Embedding):
    """Embeddings times the square root of their width (Vaswani et al., 2017, section 3.4).

    One matrix, drawn from N(0, 1/E), is then of the right size for both its uses: entries of about
    1 into a recurrent layer, rows of about unit length in the softmax.
    """

    def forward(self, ids: Tensor) -> Tensor:
        """[...] -> [..., E]"""
        return super().forward(ids) * self.embedding_dim**0.5  # type: ignore[no-any-return]


class OutputLayer(nn.Module):
    """Readouts to logits; with tied embeddings of another width, by way of a linear map.

    Only the V' output ids have logits: any other can never be right, so it is neither computed nor
    competes. All ids have weights; for the others no gradient comes from here.

    With a lexical model each readout is followed by its vector, which has weights of its own, W_l
    of Nguyen & Chiang (2018), section 4.
    """

    ids: Tensor  # [V'] the output ids, ascending: the id of each logit
    columns: Tensor  # [V] the logit of each id; V' for an id that has none

    def __init__(
        self,
        *,
        readout_size: int,
        vocabulary: int,
        tied: nn.Embedding | None = None,
        bias: bool = True,
        output_ids: Sequence[int] | None = None,
        lexical_size: int = 0,
    ) -> None:
        """output_ids: ascending; None for all of the vocabulary
        lexical_size: of the vectors of a lexical model; 0 without
        """
        super().__init__()
        size = readout_size if tied is None else tied.embedding_dim
        self.narrow = nn.Linear(readout_size, size, bias=False) if size != readout_size else None
        self.vocabulary = nn.Linear(size, vocabulary, bias=bias)
        nn.init.xavier_uniform_(self.vocabulary.weight)
        if bias:
            nn.init.zeros_(self.vocabulary.bias)
        if tied is not None:
            self.vocabulary.weight = tied.weight
        self.lexical = nn.Linear(lexical_size, vocabulary, bias=False) if lexical_size else None
        if self.lexical is not None:
            nn.init.xavier_uniform_(self.lexical.weight)
        self._selects = output_ids is not None
        ids = torch.arange(vocabulary) if output_ids is None else torch.tensor(output_ids)
        columns = torch.full((vocabulary,), len(ids))
        columns[PAD] = 0  # any logit: where a label is padding, the loss is masked
        columns[ids] = torch.arange(len(ids))
        self.register_buffer("ids", ids, persistent=False)
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, readouts: Tensor) -> Tensor:
        """[..., O], followed by the lexical model's vector -> [..., V'], one for each of `ids`"""
        return F.linear(self.narrowed(readouts), *self._rows())

    def bind(self, allowed: Tensor | None = None) -> "BoundOutputLayer":
        """The layer for one search; the rows of the output ids are gathered here, not once a
        step.

        allowed [B, V'] bool: which logits each of B sentences may choose from; None: all
        """
        if allowed is None:
            products, rows = active_products(), partial(self._search_rows, self.ids)
            weight, bias = rows() if products is None else products.once(self, rows)
            return BoundOutputLayer(
                self, partial(linear, weight=weight, addend=bias), self.ids.cpu()
            )
        columns = allowed.any(0).nonzero().squeeze(1)  # [U]
        ids = self.ids[columns.to(self.ids.device)]
        product = bound_linear(*self._search_rows(ids))
        positions = torch.full((len(self.ids),), -1)  # [V'] of each logit among the U
        positions[columns] = torch.arange(len(columns))
        allowed, device = allowed[:, columns], ids.device
        return BoundOutputLayer(self, product, ids.cpu(), allowed.to(device), positions.to(device))

    def loss(
        self,
        readouts: Tensor,
        labels: Tensor,
        *,
        smoothing: float = 0.0,
        mask: Tensor | None = None,
        logit_bias: LogitBias | None = None,
    ) -> CrossEntropy:
        """Summed loss at P tokens; no logits are kept. readouts [P, O], labels [P], mask [P]

        Labels are output ids, and PAD where the mask is False.
        """
        weight, bias = self._rows()
        return linear_cross_entropy(
            self.narrowed(readouts),
            weight,
            bias,
            self.columns[labels],
            smoothing=smoothing,
            mask=mask,
            logit_bias=logit_bias,
        )

    def narrowed(self, readouts: Tensor) -> Tensor:
        """[..., O] -> [..., E] with tied embeddings of another width, else unchanged.

        What follows a readout, for a lexical model, is never changed.
        """
        if self.narrow is None:
            return readouts
        if self.lexical is None:
            return self.narrow(readouts)  # type: ignore[no-any-return]
        width = self.narrow.in_features
        return torch.cat([self.narrow(readouts[..., :width]), readouts[..., width:]], dim=-1)

    def _rows(self) -> tuple[Tensor, Tensor | None]:
        """Weight [V', E] and bias [V'] of the output ids."""
        return self._rows_of(self.ids if self._selects else None)

    def _rows_of(self, ids: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Weight [U, E] and bias [U] of ids [U], or of all; with a lexical model [U, E + E]."""
        layers = [self.vocabulary] if self.lexical is None else [self.vocabulary, self.lexical]
        weights: list[Tensor] = [layer.weight for layer in layers]
        bias: Tensor | None = self.vocabulary.bias
        if ids is not None:
            weights = [weight.index_select(0, ids) for weight in weights]
            bias = None if bias is None else bias[ids]
        return weights[0] if self.lexical is None else torch.cat(weights, dim=1), bias

    def _search_rows(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weight [U', E] and bias [U'] of U ids, then of the first again: U' is a multiple of 16.

        `F.linear` on a CPU with 4,403 rows took 1.5 times as long as with 4,416. Packed weights
        need no further rows, without which the logits of a step lie side by side: U' is U.
        """
        packed = active_products() is not None and not ids.is_cuda
        missing = 0 if packed else -len(ids) % _ALIGNED
        if len(ids) == len(self.columns) and not missing:
            return self._rows_of(None)
        return self._rows_of(torch.cat([ids, ids[:1].expand(missing)]))


@dataclass(frozen=True, slots=True)
class BoundOutputLayer:
    """An output layer bound to its present weights, perhaps to few of its U <= V' logits."""

    layer: OutputLayer
    product: Callable[[Tensor], Tensor]  # [..., E] -> [..., U'], U' >= U
    ids: Tensor  # [U] the id of each logit, on the CPU
    allowed: Tensor | None = None  # [B, U] bool, the logits that a sentence may choose
    positions: Tensor | None = (
        None  # [V'] of each logit among the U, -1: it is not there; None: equal
    )

    def logits(self, readouts: Tensor, bias: LogitBias | None = None) -> Tensor:
        """[..., O] -> [..., U]; with `allowed` [R, O], the rows of a sentence one after the other

        bias: of the V' logits, [..., U_b]
        """
        logits = self.product(self.layer.narrowed(readouts))[..., : len(self.ids)]
        if bias is not None:
            self._placed(bias).add_to(logits)
        if self.allowed is None:
            return logits
        rows = logits.reshape(len(self.allowed), -1, logits.shape[-1])  # [B, K, U]
        return rows.masked_fill_(~self.allowed.unsqueeze(1), float("-inf")).reshape_as(logits)

    def _placed(self, bias: LogitBias) -> LogitBias:
        """The bias of the U logits."""
        if self.positions is None:
            return bias
        positions = self.positions[bias.columns]
        return LogitBias(positions.clamp(min=0), bias.values.masked_fill(positions < 0, 0.0))

    def select(self, sentences: Tensor) -> "BoundOutputLayer":
        """The layer for these sentences. [B']"""
        if self.allowed is None:
            return self
        return replace(self, allowed=self.allowed.index_select(0, sentences))


class Unrolled(NamedTuple):
    """All T steps of a batch whose targets are known."""

    readouts: Tensor  # [B, T, O]
    weights: Tensor | None  # [B, N, T, S], N heads; None without attention
    bias: LogitBias | None  # [B, T, U] of a lexicon; None without


class EncoderDecoder(nn.Module):
    """p(target | source) one token at a time (Sutskever et al., 2014; Cho et al., 2014)."""

    def __init__(
        self,
        *,
        encoder: Encoder,
        decoder: Decoder,
        output: OutputLayer,
        attend_eos: bool = True,
        lexicon: Lexicon | None = None,
    ) -> None:
        super().__init__()
        self.attend_eos = attend_eos
        self.lexicon = lexicon
        self.encoder = encoder
        self.decoder: Decoder = decoder
        self.output: OutputLayer = output

    def encode(self, source: Source) -> Memory:
        """The memory of B sources; without `attend_eos`, EOS is masked in it."""
        states, mask, summary, final_states, stride, embeddings = self.encoder.encode(source)
        if not self.attend_eos:
            counts = (source.lengths.to(mask.device) - 1 + stride - 1) // stride  # [B]
            mask = mask & length_mask(counts, mask.shape[1])
        projected = self.decoder.project_memory(states)
        translations = None
        if self.lexicon is not None:
            translations = self.lexicon.translations(source.ids[:, : mask.shape[1]])
        return Memory(states, mask, summary, final_states, projected, embeddings, translations)

    def unroll(self, batch: Batch) -> Unrolled:
        """Teacher forcing: all T steps, each after the previous label of the batch."""
        return self.unroll_from(self.encode(batch.source), batch.decoder_input)

    def unroll_from(self, memory: Memory, decoder_input: Tensor) -> Unrolled:
        """Teacher forcing: all T steps, each after a given id. decoder_input [B, T], BOS first"""
        readouts, weights = self.decoder.unroll(decoder_input, memory)
        bias = None
        if memory.translations is not None and weights is not None:
            bias = memory.translations.bias(weights)
        return Unrolled(readouts, weights, bias)

    def logits(self, readouts: Tensor, bias: LogitBias | None = None) -> Tensor:
        """[..., O] -> [..., V'], one for each of `output.ids`"""
        logits: Tensor = self.output(readouts)
        return logits if bias is None else bias.added_to(logits)


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers, shared ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())
