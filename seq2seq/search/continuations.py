"""The likeliest next ids of each row, with their log-probabilities, out of a step's logits."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_FEW = 4  # ids that are excluded after the best were found, not before
_BLOCK = 64  # columns of which only the largest is compared at first
_MANY = 2**17  # logits of a step for which comparing blocks first is faster


class Continuations(NamedTuple):
    """The likeliest next ids of each row, best first; of equally likely ids the lowest first."""

    log_probabilities: Tensor  # [R, C] float64 on the CPU; -inf for an id that cannot be written
    ids: Tensor  # [R, C] int64 on the CPU


def best_continuations(
    logits: Tensor,
    *,
    count: int,
    forbidden: Sequence[int],
    ids: Tensor | None = None,
    allowed: Tensor | None = None,
    wanted: Tensor | None = None,
) -> Continuations:
    """logits [R, V'] -> at least the `count` best ids of each row that may be written, if any.

    `wanted` [R, E] ids come behind them, likely or not, where they may be written; -1 for none.

    `ids` [V'], ascending and on the CPU, are those of the logits; None: 0, 1, 2, ... All but the
    `forbidden` ones may be written, in each row only those that are `allowed`, [R, V'] or the same
    in all rows, [1, V'] (None: all).

    Other ids get -inf, and their probability is not redistributed: every log-probability is the
    model's own, so scoring the same ids again gives the same number. No [R, V'] table of
    log-probabilities is computed: only one log-sum-exp for each row.

    A row whose logits are no distribution (NaN, infinity, no mass at all) gets NaN.
    """
    if ids is not None:
        least = int(ids[0])
        forbidden = [each for each in forbidden if each >= least]
    if allowed is not None and len(allowed) == 1:  # for all rows: to hide a few ids needs no mask
        excluded = (~allowed[0]).nonzero().squeeze(1)
        if len(excluded) <= _FEW:
            written = excluded if ids is None else ids[excluded]
            forbidden, allowed = [*forbidden, *written.tolist()], None
    candidates, peak = logits, None
    if allowed is not None:
        candidates = logits.masked_fill(~allowed.to(logits.device), float("-inf"))
        peak = logits.amax(dim=1, keepdim=True)
    values, columns = _largest(candidates, count + len(forbidden))
    peak = values[:, :1] if peak is None else peak
    if wanted is not None:
        more = _wanted_columns(wanted, columns, logits.shape[1], ids)
        absent = more < 0
        chosen = candidates.gather(1, more.clamp(min=0).to(logits.device)).cpu()
        values = torch.cat([values, chosen.masked_fill(absent, float("-inf"))], dim=1)
        columns = torch.cat([columns, more.clamp(min=0)], dim=1)
    written = columns if ids is None else ids[columns]
    total = _log_sum_exp(logits, peak)
    log_probabilities = values.double() - total.double()  # [R, C]
    for banned in forbidden:
        log_probabilities = log_probabilities.masked_fill(written == banned, float("-inf"))
    return Continuations(log_probabilities, written)


def _wanted_columns(wanted: Tensor, columns: Tensor, width: int, ids: Tensor | None) -> Tensor:
    """The column of each wanted id [R, E]; -1 for none, and for one that is there already."""
    known = torch.arange(width) if ids is None else ids
    found = torch.searchsorted(known, wanted.contiguous()).clamp(max=width - 1)
    there = (found.unsqueeze(2) == columns.unsqueeze(1)).any(dim=2)
    earlier = (found.unsqueeze(2) == found.unsqueeze(1)).tril(-1).any(dim=2)
    return found.masked_fill(there | earlier | (known[found] != wanted), -1)


def refuse_nan(log_probabilities: Tensor) -> None:
    """Raise ValueError for a step whose logits are no distribution, rather than rank NaN."""
    if log_probabilities.isnan().any():
        raise ValueError("a step gave logits with NaN, with infinity, or with no mass at all")


def _largest(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest logits of each row and their columns, on the CPU: [R, C] each, C at most `count`.

    `torch.topk` may return any of several equal values; this returns the first of them.
    """
    width = min(count + 1, logits.shape[1])  # one more than wanted, to notice ties with the last
    values, columns = _topk(logits, width)  # [R, C + 1]
    values, columns = values.cpu(), columns.cpu()
    if bool((values[:, 1:] == values[:, :-1]).any()):
        columns, by_column = columns.sort(dim=1)
        values, by_value = values.gather(1, by_column).sort(dim=1, descending=True, stable=True)
        columns = columns.gather(1, by_value)
        last = values[:, -1:]  # [R, 1]
        # Columns tied with the last value may be missing; among those of -inf any will do.
        tied = (values[:, -2:-1] == last) & (last > float("-inf"))  # [R, 1]
        rows = tied.squeeze(1).nonzero().squeeze(1)  # [R']
        if len(rows) and width < logits.shape[1]:
            columns[rows] = _lowest_equal(logits, rows, values[rows], columns[rows])
    return values[:, :count], columns[:, :count]


def _topk(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`logits.topk(count, dim=1)`; on a CPU in half the time.

    The largest are in those blocks of columns whose own largest values are the largest, and behind
    the last block.
    """
    blocks = logits.shape[1] // _BLOCK
    if logits.is_cuda or blocks < 2 * count or logits.numel() < _MANY:
        return logits.topk(count, dim=1)
    inside = logits[:, : blocks * _BLOCK].reshape(len(logits), blocks, _BLOCK)  # [R, N, 64]
    chosen = inside.amax(2).topk(count, dim=1).indices  # [R, C] blocks
    gathered = inside.gather(1, chosen.unsqueeze(2).expand(-1, -1, _BLOCK)).flatten(1)
    behind = logits[:, blocks * _BLOCK :]  # [R, less than 64]
    values, positions = torch.cat([gathered, behind], dim=1).topk(count, dim=1)  # [R, C]
    chosen = F.pad(chosen, (0, 1), value=blocks)  # the part behind is one more block
    return values, chosen.gather(1, positions // _BLOCK) * _BLOCK + positions % _BLOCK


def _lowest_equal(logits: Tensor, rows: Tensor, values: Tensor, columns: Tensor) -> Tensor:
    """End each row of `columns` [R', C] in the lowest whose logits equal the last of `values`."""
    width = values.shape[1]
    last = values[:, -1:].to(logits.device)  # [R', 1]
    row, column = (logits[rows.to(logits.device)] == last).nonzero().cpu().unbind(dim=1)  # [n]
    counts = row.bincount(minlength=len(rows))  # [R']
    rank = torch.arange(len(row)) - (counts.cumsum(0) - counts)[row]  # [n] within its row
    first = rank < width
    lowest = torch.zeros_like(columns)  # [R', C]
    lowest = lowest.index_put((row[first], rank[first]), column[first])
    larger = (values > values[:, -1:]).sum(dim=1, keepdim=True)  # [R', 1]
    position = torch.arange(width) - larger  # [R', C]
    return columns.where(position < 0, lowest.gather(1, position.clamp(min=0)))


def _log_sum_exp(logits: Tensor, largest: Tensor) -> Tensor:
    """log sum exp of each row, in float32 at least. logits [R, V'], largest [R, 1] -> [R, 1], CPU.

    Never below `largest`, whose log-probability is not above 0. torch computes a log-softmax in
    half the time of a log-sum-exp.
    """
    dtype = torch.promote_types(logits.dtype, torch.float32)
    best = logits.log_softmax(1, dtype=dtype).amax(1, keepdim=True)  # [R, 1] log-probability
    return (largest.to(logits.device, dtype) - best).cpu()
