"""The ids of every step of beam search, from which finished hypotheses are traced back."""

from typing import NamedTuple

from torch import Tensor

from seq2seq.search.hypothesis import Hypothesis

NO_ID = -1  # in place of an id: the hypothesis is cut because nothing can follow it


class Finished(NamedTuple):
    """A finished hypothesis, whose other ids are traced back through the history."""

    score: float
    log_probability: float
    length: int  # ids
    parent: int  # its row before the step that finished it
    id: int  # what that step wrote, or NO_ID


class History:
    """The ids that every step wrote, each with the row of the step before that it continues."""

    def __init__(self) -> None:
        self.parents: list[list[int]] = []  # [t][row of step t + 1] -> row of step t
        self.ids: list[list[int]] = []  # [t][row of step t + 1] -> id written in step t
        self.weights: list[Tensor] = []  # [t] -> [R, S]; empty for a model without attention

    def add(self, parents: Tensor, ids: Tensor, weights: Tensor | None) -> None:
        """Add a step: parents and ids of the next step's rows, weights [R, S] of this step's."""
        self.parents.append(parents.tolist())
        self.ids.append(ids.tolist())
        if weights is not None:
            self.weights.append(weights)

    def hypotheses(self, finished: list[list[Finished]]) -> list[list[Hypothesis]]:
        """Trace back the ids and weights of each sentence's finished hypotheses."""
        paths = [[self._path(each) for each in kept] for kept in finished]
        alignments = iter(self._alignments([rows for kept in paths for _, rows in kept]))
        return [
            [
                Hypothesis(ids, each.log_probability, each.score, next(alignments))
                for each, (ids, _) in zip(kept, kept_paths, strict=True)
            ]
            for kept, kept_paths in zip(finished, paths, strict=True)
        ]

    def _path(self, finished: Finished) -> tuple[tuple[int, ...], list[int]]:
        """The ids [T], and the row [T] of each step that wrote them."""
        row = finished.parent
        ids = [] if finished.id == NO_ID else [finished.id]
        rows = [] if finished.id == NO_ID else [row]
        for t in reversed(range(finished.length - len(ids))):
            ids.append(self.ids[t][row])
            row = self.parents[t][row]
            rows.append(row)
        return tuple(reversed(ids)), rows[::-1]

    def _alignments(self, paths: list[list[int]]) -> list[Tensor | None]:
        """Gather the weights along every path of rows, step by step for all: [T, S] each."""
        if not self.weights:
            return [None] * len(paths)
        longest = max(map(len, paths))
        gathered = self.weights[0].new_zeros(len(paths), longest, self.weights[0].shape[1])
        for t in range(longest):
            reached = [i for i, path in enumerate(paths) if len(path) > t]
            gathered[reached, t] = self.weights[t][[paths[i][t] for i in reached]]
        gathered = gathered.cpu()  # [paths, T, S]
        return [gathered[i, : len(path)] for i, path in enumerate(paths)]
