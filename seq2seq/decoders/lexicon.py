"""A translation lexicon: logits rise for the translations of the source pieces under attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.kernels.logit_bias import LogitBias

EPSILON = 1e-3
"""Added to the probability of every piece, as in the experiments of Arthur et al. (2016)."""


class Entries(NamedTuple):
    """The K likeliest translations of each of V_s source ids."""

    ids: Tensor  # [V_s, K] int target ids; -1: there are no more
    probabilities: Tensor  # [V_s, K] p(y | x), 0 where there is no id


class Lexicon(nn.Module):
    """b_t(y) = log(1 + sum_s a_ts p(y | x_s) / epsilon), added to the logit of y at step t.

    Arthur et al. (2016), section 4.2.1: a_t are the attention weights, here the mean of all heads,
    and p is fixed, learnt before the model is. They add log(epsilon + sum_s a_ts p(y | x_s)), which
    is larger by the constant log(epsilon): a softmax does not depend on that, and so only the
    translations of the source have a number other than 0.
    """

    columns: Tensor  # [V_s, K] int64, the logit of each translation; V' where there is none
    probabilities: Tensor  # [V_s, K], 0 where there is none

    def __init__(self, entries: Entries, output_columns: Tensor, *, logits: int) -> None:
        """output_columns: the logit of each target id, `logits` for an id that has none. [V]
        logits: V', how many there are
        """
        super().__init__()
        columns = torch.cat([output_columns.cpu(), torch.tensor([logits])])  # the last for id -1
        self.register_buffer("columns", columns[entries.ids.long()], persistent=False)
        probabilities = entries.probabilities.masked_fill(self.columns == logits, 0.0)
        self.register_buffer("probabilities", probabilities, persistent=False)
        self.logits = logits

    def translations(self, ids: Tensor) -> Translations:
        """The entries of B sources of S ids. [B, S]

        On a CPU U is the number of different translations of the source that has most; on a GPU,
        which would have to be waited for, it is S K.
        """
        columns = self.columns[ids].flatten(1)  # [B, S K]
        ordered, order = columns.sort(dim=1)
        is_new = torch.ones_like(ordered, dtype=torch.bool)
        is_new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        positions = is_new.cumsum(1) - 1  # [B, S K], of each column among the different ones
        width = columns.shape[1] if ids.is_cuda else int(positions.max()) + 1  # U
        different = columns.new_zeros(len(ids), width)
        different.scatter_(1, positions, ordered.where(ordered < self.logits, 0))
        own_positions = torch.empty_like(positions).scatter_(1, order, positions)
        ratios = self.probabilities[ids] / EPSILON  # [B, S, K]
        spread = ratios.new_zeros(*ids.shape, width)
        spread.scatter_(2, own_positions.view_as(ratios), ratios)
        return Translations(different, spread)

    def link_likelihoods(self, source_ids: Tensor, columns: Tensor) -> Tensor:
        """epsilon + p(y_t | x_s): how likely y_t is, if it is a translation of x_s.

        exp(b_t(y)) is a mixture over the source pieces with the weights a_t, so by Bayes' rule the
        piece that y_t comes from is s with probability a_ts (epsilon + p(y_t | x_s)) / sum over s.

        source_ids [S], columns: the logit of each y_t [T] -> [T, S]
        """
        likelihoods = self.probabilities.new_full((len(columns), len(source_ids)), EPSILON)
        entries = self.columns[source_ids].T, self.probabilities[source_ids].T  # [K, S]
        for translations, probabilities in zip(*entries, strict=True):
            likelihoods += probabilities * (translations == columns.unsqueeze(1))
        return likelihoods


@dataclass(frozen=True, slots=True)
class Translations:
    """The entries of a lexicon for B sources: U translations of each, some of which may be 0."""

    columns: Tensor  # [B, U] int64
    ratios: Tensor  # [B, S, U]

    def select(self, rows: Tensor) -> Translations:
        return Translations(self.columns.index_select(0, rows), self.ratios.index_select(0, rows))

    def bias(self, weights: Tensor) -> LogitBias:
        """The bias of T steps. weights [B, N, T, S] -> [B, T, U]"""
        with torch.autocast(weights.device.type, enabled=False):
            values = (weights.mean(1).to(self.ratios.dtype) @ self.ratios).log1p()
        return LogitBias(self.columns.unsqueeze(1).expand(values.shape), values)

    def step_bias(self, weights: Tensor) -> LogitBias:
        """The bias of one step of R / B rows for each source. weights [R, N, S] -> [R, U]"""
        by_source = weights.reshape(len(self.columns), -1, *weights.shape[1:])  # [B, L, N, S]
        return self.bias(by_source.transpose(1, 2)).flatten()
