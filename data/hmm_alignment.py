"""Which source piece each target piece of a pair comes from, learnt from pairs alone.

Two hidden Markov models, one a direction (Vogel et al., 1996), that are estimated together: each
counts a link as often as both believe in it (Liang et al., 2006, "Alignment by agreement").
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from data.possible_links import Floats, Numbers, PossibleLinks, evenly_chosen, ibm_model_1
from data.token_store import IntArray, TokenizedSplit

NULL = 0.1
"""The probability that a piece comes from no piece of the other side."""

_FIRST_ITERATIONS, _ITERATIONS = 3, 3  # of IBM model 1, and of the hidden Markov models
_LONGEST_JUMP = 100  # pieces; longer ones are as likely as these
_UNSEEN_JUMPS = 5e-4  # of all jumps, for each length
_LEAST = 1e-12  # of the probability of a piece that comes from nothing
_MAX_LINKS = 2**23  # possible links that are learnt from; of more, as many pairs are left out
_MAX_CELLS = 2**20  # of chains that are computed together

Direction = Literal["forward", "backward"]


class Chains(NamedTuple):
    """B Markov chains with I states each, which write up to J pieces, those with fewer first."""

    links: Numbers  # [B, J, I] of each step and state; of steps that a chain lacks anything
    tokens: Numbers  # [B, J] which of the written ids
    lengths: Numbers  # [B] steps of each chain, ascending

    @property
    def has_step(self) -> npt.NDArray[np.bool_]:
        """[B, J]"""
        return np.arange(self.links.shape[1]) < self.lengths[:, None]


def chains_of(possible: PossibleLinks, direction: Direction) -> Iterator[Chains]:
    """The pairs as Markov chains, those with equally many states together."""
    forward = direction == "forward"
    states, steps = possible.source_lengths, possible.target_lengths
    if not forward:
        states, steps = steps, states
    tokens = np.cumsum(steps) - steps
    usable = np.flatnonzero(states * steps)
    if not len(usable):
        return
    order = usable[np.lexsort((steps[usable], states[usable]))]
    for group in np.split(order, np.flatnonzero(np.diff(states[order])) + 1):
        count = int(states[group[0]])
        together = max(1, _MAX_CELLS // (count * int(steps[group[-1]])))
        for begin in range(0, len(group), together):
            chosen = group[begin : begin + together]
            step = np.arange(steps[chosen[-1]])[:, None]
            state = np.arange(count)
            step_width = count if forward else 1
            state_widths = 1 if forward else steps[chosen, None, None]
            yield Chains(
                possible.begins[chosen, None, None] + step * step_width + state * state_widths,
                tokens[chosen, None] + step[:, 0],
                steps[chosen],
            )


@dataclass(frozen=True)
class HmmModel:
    """p(written pieces | given pieces), each written piece from one given piece or from none."""

    translation: Floats  # [K + 1] p(written id | given id) for each key; 0 for what has no key
    null: Floats  # [V] p(written id | no given piece)
    jumps: Floats  # [2 W + 1] how likely it is that the next piece comes from so many pieces on

    def transitions(self, states: int) -> tuple[Floats, Numbers]:
        """p(next state | state), and the number of each jump: [I, I] both."""
        offsets = np.arange(states) - np.arange(states)[:, None]
        numbers = np.clip(offsets, -_LONGEST_JUMP, _LONGEST_JUMP) + _LONGEST_JUMP
        weights = self.jumps[numbers]
        return weights / weights.sum(1, keepdims=True), numbers

    def posteriors(
        self, possible: PossibleLinks, entries: Numbers, direction: Direction
    ) -> tuple[Floats, Floats]:
        """The probability of each link, given both sides, [L], and expected jumps [2 W + 1].

        entries: the number of the key of each link; K where it has none [L]
        """
        found = np.zeros(len(entries), np.float32)
        jumps = np.zeros_like(self.jumps)
        written = possible.target_ids if direction == "forward" else possible.source_ids
        for chains in chains_of(possible, direction):
            inside = chains.has_step
            links = np.where(inside[..., None], chains.links, chains.links[:, :1])
            tokens = np.where(inside, chains.tokens, chains.tokens[:, :1])
            transitions, numbers = self.transitions(links.shape[2])
            each, moves = forward_backward(
                self.translation[entries[links]],
                self.null[written[tokens]],
                chains.lengths,
                transitions,
            )
            found[links[inside]] = each[inside]
            np.add.at(jumps, numbers, moves)
        return found, jumps


def forward_backward(
    translation: Floats, null: Floats, lengths: Numbers, transitions: Floats
) -> tuple[Floats, Floats]:
    """The probability of each state at each step, given all that is written, and expected moves.

    A step that writes a piece which comes from nothing stays in the state of the step before.
    Probabilities are scaled at every step (Rabiner, 1989, section V.A).

    translation [B, J, I] and null [B, J]: probabilities of the written piece
    lengths: how many steps each chain has, ascending [B]
    -> [B, J, I], zero where a chain has no step, and [I, I]
    """
    rows, steps, states = translation.shape
    linked = np.zeros((steps, rows, states))  # forward probabilities of pieces with a link
    unlinked = np.zeros_like(linked)  # and of those without, by the state that they stay in
    scales = np.ones((steps, rows))
    firsts = np.searchsorted(lengths, np.arange(steps), side="right")  # chains that have the step
    for step, first in enumerate(firsts):
        before = np.full((rows, states), 1 / states)
        if step:
            before = (linked[step - 1] + unlinked[step - 1])[first:]
        arrived = before @ transitions if step else before
        linked[step, first:] = (1 - NULL) * translation[first:, step] * arrived
        unlinked[step, first:] = NULL * null[first:, step, None] * before
        scales[step, first:] = (linked[step, first:] + unlinked[step, first:]).sum(1)
        linked[step, first:] /= scales[step, first:, None]
        unlinked[step, first:] /= scales[step, first:, None]
    found = np.zeros_like(translation)
    moves = np.zeros_like(transitions)
    later = np.ones((rows, states))  # backward probabilities, over those of the scales
    for step, first in reversed(list(enumerate(firsts))):
        both = (linked[step, first:] + unlinked[step, first:]) * later[first:]
        total = both.sum(1, keepdims=True)
        found[first:, step] = linked[step, first:] * later[first:] / total
        if not step:
            continue
        scale = scales[step, first:, None]
        arriving = (1 - NULL) * translation[first:, step] * later[first:] / scale
        staying = NULL * null[first:, step, None] * later[first:] / scale
        moves += transitions * ((linked[step - 1] + unlinked[step - 1])[first:].T @ arriving)
        later[first:] = arriving @ transitions.T + staying
    return found, moves


@dataclass(frozen=True)
class AlignmentModel:
    """Both directions, and the pairs of ids that they know."""

    keys: Numbers  # [K] ascending, source id * target vocabulary + target id
    target_vocabulary: int
    forward: HmmModel  # p(target | source)
    backward: HmmModel  # p(source | target)

    def posteriors(self, split: TokenizedSplit, pairs: Numbers) -> tuple[PossibleLinks, Floats]:
        """The probability of every possible link of these pairs: the mean of both directions."""
        possible = PossibleLinks.of(split, pairs)
        keys = possible.keys(self.target_vocabulary)
        entries = np.searchsorted(self.keys, keys)
        known = self.keys[np.minimum(entries, len(self.keys) - 1)] == keys
        entries[~known] = len(self.keys)
        forward, _ = self.forward.posteriors(possible, entries, "forward")
        backward, _ = self.backward.posteriors(possible, entries, "backward")
        return possible, (forward + backward) / 2


def learn_alignment(
    split: TokenizedSplit, *, source_vocabulary: int, target_vocabulary: int
) -> AlignmentModel:
    """Estimate both directions from pairs of a split: all, or evenly chosen ones of a large one."""
    sizes = split.source_lengths.astype(np.int64) * split.target_lengths
    possible = PossibleLinks.of(split, evenly_chosen(sizes, most=_MAX_LINKS))
    keys, entries = np.unique(possible.keys(target_vocabulary), return_inverse=True)
    source, target = np.divmod(keys, target_vocabulary)

    def translation(counts: Floats, given: Numbers) -> Floats:
        """p(written id | given id) by the expected count of each link. [L] -> [K + 1]"""
        of_keys = np.bincount(entries, weights=counts, minlength=len(keys))
        totals = np.bincount(given, weights=of_keys)
        return np.append(of_keys / np.maximum(totals, _LEAST)[given], 0.0)

    def first_translation(tokens: Numbers, given: Numbers) -> Floats:
        together = translation(np.ones(len(entries)), given)[:-1]
        found = ibm_model_1(together, entries, tokens, given, iterations=_FIRST_ITERATIONS)
        return np.append(found, 0.0)

    forward = HmmModel(
        first_translation(possible.target_tokens, source),
        _frequencies(possible.target_ids, target_vocabulary),
        _FIRST_JUMPS,
    )
    backward = HmmModel(
        first_translation(possible.source_tokens, target),
        _frequencies(possible.source_ids, source_vocabulary),
        _FIRST_JUMPS,
    )
    for _ in range(_ITERATIONS):
        forward_links, forward_jumps = forward.posteriors(possible, entries, "forward")
        backward_links, backward_jumps = backward.posteriors(possible, entries, "backward")
        agreed = forward_links * backward_links
        forward = replace(
            forward, translation=translation(agreed, source), jumps=_smoothed(forward_jumps)
        )
        backward = replace(
            backward, translation=translation(agreed, target), jumps=_smoothed(backward_jumps)
        )
    return AlignmentModel(keys, target_vocabulary, forward, backward)


_FIRST_JUMPS = np.exp(-np.abs(np.arange(-_LONGEST_JUMP, _LONGEST_JUMP + 1) - 1) / 2)


def _smoothed(jumps: Floats) -> Floats:
    return np.asarray(jumps / max(jumps.sum(), _LEAST) + _UNSEEN_JUMPS)


def _frequencies(ids: IntArray, vocabulary: int) -> Floats:
    shares = np.bincount(ids, minlength=vocabulary) / max(1, len(ids))
    return shares.clip(min=_LEAST)
