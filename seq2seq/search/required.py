"""Texts that every translation contains, and the part of the beam that comes nearer to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.search.constraints import Prefixes, is_word_character, text_of

Phrase = tuple[int, ...]


class Progress(NamedTuple):
    """How many required ids each unfinished hypothesis has, and which ids would add to them."""

    met: Tensor  # [R] ids of the phrases that it contains
    ids: Tensor  # [R, E] the next id of each other phrase; -1 for one that it contains
    met_after: Tensor  # [R, E] how many it has with that id, begun phrases included

    def after(self, ids: Tensor) -> Tensor:
        """The required ids that a row has with one id more. ids [R, C] -> [R, C]"""
        same = ids.unsqueeze(-1) == self.ids.unsqueeze(1)  # [R, C, E]
        gained = self.met_after.unsqueeze(1).masked_fill(~same, -1).amax(-1)  # [R, C]
        return torch.maximum(gained, self.met.unsqueeze(1))


@dataclass(frozen=True)
class RequiredPhrases:
    """Every translation has these ids in a row, and then not a piece that goes on with the word.

    EOS is not written before; when only as many steps are left as the phrases need, they are
    written. The slots of a beam go in turn to hypotheses with 0, 1, 2, ... required ids: dynamic
    beam allocation, Post & Vilar (2018), section 3. Phrases are not empty.
    """

    phrases: tuple[Phrase, ...]
    max_lengths: Sequence[int]  # of each sentence, EOS included
    spellings: Sequence[bytes]  # of each id of the vocabulary
    eos: int

    def allowed(self, prefixes: Prefixes, ids: Tensor) -> Tensor:
        columns = {number: column for column, number in enumerate(ids.tolist())}
        goes_on = self._goes_on[ids]  # [V']
        free = torch.ones(len(ids), dtype=torch.bool)
        without_eos = ids != self.eos
        rows = []
        for sentence, written in zip(
            prefixes.sentences.tolist(), prefixes.ids.tolist(), strict=True
        ):
            missing = [phrase for phrase in self.phrases if not contains(written, phrase)]
            row = without_eos if missing else free
            if any(tuple(written[-len(phrase) :]) == phrase for phrase in self.phrases):
                row = row & ~goes_on
            steps = self.max_lengths[sentence] - len(written) - 1  # before EOS
            begun = [begun_ids(written, phrase) for phrase in missing]
            if missing and steps <= sum(map(len, missing)) - max(begun):
                furthest = begun.index(max(begun))
                row = torch.zeros_like(free)
                row[columns[missing[furthest][begun[furthest]]]] = True
            rows.append(row)
        return torch.stack(rows)

    def progress(self, prefixes: Prefixes) -> Progress:
        met, next_ids, met_after = [], [], []
        for written in prefixes.ids.tolist():
            has = [contains(written, phrase) for phrase in self.phrases]
            base = sum(len(p) for p, there in zip(self.phrases, has, strict=True) if there)
            begun = [begun_ids(written, phrase) for phrase in self.phrases]
            states = list(zip(self.phrases, has, begun, strict=True))
            met.append(base)
            next_ids.append([-1 if there else phrase[k] for phrase, there, k in states])
            met_after.append([base + k + 1 for k in begun])
        return Progress(torch.tensor(met), torch.tensor(next_ids), torch.tensor(met_after))

    @cached_property
    def _goes_on(self) -> Tensor:
        """Whether each id begins with a letter or digit, which goes on with a word. [V]"""
        texts = [text_of([spelling])[:1] for spelling in self.spellings]
        return torch.tensor([bool(text) and is_word_character(text) for text in texts])


def contains(ids: Sequence[int], phrase: Phrase) -> bool:
    return any(
        tuple(ids[begin : begin + len(phrase)]) == phrase
        for begin in range(len(ids) - len(phrase) + 1)
    )


def begun_ids(ids: Sequence[int], phrase: Phrase) -> int:
    """How many ids at the end are the first ones of a phrase, but not all of it."""
    return next(
        (
            count
            for count in range(min(len(ids), len(phrase) - 1), 0, -1)
            if tuple(ids[-count:]) == phrase[:count]
        ),
        0,
    )
