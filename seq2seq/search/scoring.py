"""Forced decoding of given translations in batches: their log-probabilities and attention."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from seq2seq.batch import BOS, EOS, PAD
from seq2seq.kernels.logit_bias import LogitBias
from seq2seq.search.hypothesis import Hypothesis
from seq2seq.search.inference import SingleModel

_BATCH_TOKENS = 4096  # of the padded sources and targets of a batch together
_MAX_LOGITS = 2**23  # logits made at once: 32 MiB of float32

Ids = Sequence[int]


def score_ids(
    single: SingleModel,
    sources: Sequence[Ids],
    targets: Sequence[Ids],
    *,
    batch_tokens: int = _BATCH_TOKENS,
) -> list[list[float]]:
    """Log-probabilities, in nats, of the ids of each target and then of its EOS, in their order.

    Sources and targets are ids without BOS and EOS, no source is empty, and targets are output ids
    of the model. Pairs of similar lengths are scored together, up to `batch_tokens` at once; the
    result does not depend on it. A source may occur any number of times, as where the hypotheses
    of one sentence are rescored.
    """
    found: list[list[float]] = [[] for _ in sources]
    with torch.inference_mode():
        for chosen in _batches(sources, targets, batch_tokens):
            scores, _ = _force_batch(
                single, [sources[i] for i in chosen], [targets[i] for i in chosen]
            )
            for i, values in zip(chosen, scores, strict=True):
                found[i] = values
    return found


def force_ids(
    single: SingleModel,
    sources: Sequence[Ids],
    targets: Sequence[Ids],
    *,
    batch_tokens: int = _BATCH_TOKENS,
) -> list[Hypothesis]:
    """`force` for many pairs, in batches as `score_ids` makes them; results in the same order."""
    found: dict[int, Hypothesis] = {}
    with torch.inference_mode():
        for chosen in _batches(sources, targets, batch_tokens):
            scores, weights = _force_batch(
                single, [sources[i] for i in chosen], [targets[i] for i in chosen]
            )
            for row, i in enumerate(chosen):
                ids, total = (*targets[i], EOS), math.fsum(scores[row])
                spread = None
                if weights is not None:
                    spread = single.spread_weights(weights[row, : len(ids)], sources[i])
                found[i] = Hypothesis(ids, total, total, spread)
    return [found[i] for i in range(len(sources))]


def _batches(
    sources: Sequence[Ids], targets: Sequence[Ids], batch_tokens: int
) -> Iterator[list[int]]:
    """Indices of pairs of similar lengths, whose padded ids stay within the budget if they can."""
    sizes = [(len(t) + 1, len(s) + 1) for s, t in zip(sources, targets, strict=True)]
    batch: list[int] = []
    widest = 0  # ids of the longest source
    for i in sorted(range(len(sizes)), key=sizes.__getitem__):
        target_length, source_length = sizes[i]
        widest = max(widest, source_length)
        if batch and (len(batch) + 1) * (target_length + widest) > batch_tokens:
            yield batch
            batch, widest = [], source_length
        batch.append(i)
    if batch:
        yield batch


def _force_batch(
    single: SingleModel, sources: Sequence[Ids], targets: Sequence[Ids]
) -> tuple[list[list[float]], Tensor | None]:
    """Log-probabilities of each target, and weights [B, T, S'] on the CPU."""
    labels = [[*target, EOS] for target in targets]
    width = max(map(len, labels))
    inputs = [[BOS, *row[:-1], *[PAD] * (width - len(row))] for row in labels]
    memory = single.encode(sources)
    readouts, weights, bias = single.model.unroll_from(
        memory, torch.tensor(inputs, device=single.device)
    )
    lengths = torch.tensor([len(row) for row in labels])
    real = (torch.arange(width) < lengths.unsqueeze(1)).to(readouts.device)  # [B, T]
    flat = torch.tensor([number for row in labels for number in row], device=readouts.device)
    real_bias = None if bias is None else bias.at(real)
    scores = _log_probabilities(single, readouts[real], real_bias, flat)  # [P] on the CPU
    attended = single.head_weights(weights)
    split = [part.tolist() for part in torch.split(scores, lengths.tolist())]
    return split, None if attended is None else attended.cpu()


def _log_probabilities(
    single: SingleModel, readouts: Tensor, bias: LogitBias | None, labels: Tensor
) -> Tensor:
    """The log-probability of each label by its readout and bias. [P, O], [P, U], [P] -> [P]"""
    output = single.model.output.bind()
    columns = single.model.output.columns[labels].unsqueeze(1)  # [P, 1]
    rows = max(1, _MAX_LOGITS // len(output.ids))
    found = []
    for begin in range(0, len(readouts), rows):
        part = slice(begin, begin + rows)
        logits = output.logits(readouts[part], None if bias is None else bias.at(part))  # [n, V']
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        chosen = logits.gather(1, columns[part]).squeeze(1)
        found.append(chosen.double() - logits.logsumexp(1).double())
    return torch.cat(found).cpu()
