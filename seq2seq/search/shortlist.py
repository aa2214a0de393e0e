"""A lexical shortlist: the output ids that a translation of a source may be written in."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Shortlist:
    """The likeliest translations of each source id, and ids that any translation may have."""

    likely: Tensor  # [V_s, N] int64 target ids; -1: there are fewer
    always: Tensor  # [F] int64 target ids, EOS among them

    def allowed(self, sources: Sequence[Sequence[int]], columns: Tensor, *, logits: int) -> Tensor:
        """Which of the V' logits each source's translation may choose from. [B, V'] bool, on a CPU

        columns [V]: the logit of each target id; V' for an id that has none
        """
        columns = torch.cat([columns.cpu(), torch.tensor([logits])])  # the last is that of id -1
        marked = torch.zeros(len(sources), logits + 1, dtype=torch.bool)
        marked[:, columns[self.always]] = True
        for row, source in zip(marked, sources, strict=True):
            row[columns[self.likely[list(source)].flatten()]] = True
        return marked[:, :logits]
