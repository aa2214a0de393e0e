"""The processes, or ranks, that train one model together: each has its rows of every batch."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from seq2seq.batch import Batch
from seq2seq.errors import ResourceError
from seq2seq.training.stopwatch import Part, untimed

Value = TypeVar("Value")

SMALL = 2**16  # entries of a gradient that is copied into a bucket with others


class RankLost(Exception):  # noqa: N818 - the error is its consequence
    """Another rank has ended, or has not answered for `training.rank_timeout` seconds."""


class Ranks:
    """The only rank: it has every batch for itself, and nobody to agree with.

    A training does the same on all ranks, in the same order, and calls these methods on each.
    """

    rank = 0
    size = 1

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which alone writes files."""
        return self.rank == 0

    def set_timeout(self, seconds: float) -> None:
        """Count a rank that does not answer for so long as lost."""

    def share(self, batch: Batch) -> Batch:
        """The rows of a batch that this rank has."""
        return batch

    def sum_gradients(
        self, model: nn.Module, losses: Sequence[Tensor], part: Part = untimed
    ) -> None:
        """Replace the gradients of a model, and the losses, by their sums over all ranks."""

    def gather_numbers(self, *numbers: float) -> list[tuple[float, ...]]:
        """The numbers of each rank, by rank; cheap enough for every update."""
        return [numbers]

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, by rank. With several of them, tuples become lists, as in
        JSON."""
        return [value]

    def of_first(self, make: Callable[[], Value]) -> Value:
        """The value of `make` on rank 0; it is not called on the others."""
        return self.gather(make() if self.is_first else None)[0]  # type: ignore[no-any-return]


ONE_RANK = Ranks()


class ConnectedRanks(Ranks):
    """One of several ranks, connected by the default group of torch.distributed.

    Gradients are summed when they are complete, large ones where they are and small ones in one
    bucket: backpropagation through time has most of them only at its end, so that there is little
    to gain from sending some earlier, as DistributedDataParallel does; CUDA graphs and accumulation
    need no hooks; and a gradient that is stolen from autograd is copied nowhere.

    Raises RankLost where another rank does not take part.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size

    def set_timeout(self, seconds: float) -> None:
        from torch.distributed.distributed_c10d import _set_pg_timeout

        _set_pg_timeout(timedelta(seconds=seconds))

    def share(self, batch: Batch) -> Batch:
        return batch.shared(self.rank, self.size)

    def sum_gradients(
        self, model: nn.Module, losses: Sequence[Tensor], part: Part = untimed
    ) -> None:
        with part("communication"):
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            large = [g for g in gradients if g.numel() > SMALL and g.is_contiguous()]
            others = {id(g) for g in large}
            small = [*losses, *(g for g in gradients if id(g) not in others)]
            bucket = torch.cat([tensor.flatten() for tensor in small])
            _collectively(lambda: _sum_in_place([*large, bucket]))
            parts = torch.split(bucket, [tensor.numel() for tensor in small])
            for tensor, total in zip(small, parts, strict=True):
                tensor.copy_(total.view_as(tensor))

    def gather_numbers(self, *numbers: float) -> list[tuple[float, ...]]:
        mine = torch.tensor(numbers, dtype=torch.float64)
        return [tuple(theirs.tolist()) for theirs in self._gather_tensors(mine)]

    def gather(self, value: Any) -> list[Any]:
        data = json.dumps(value).encode()
        sizes = [int(size) for (size,) in self.gather_numbers(len(data))]
        mine = torch.zeros(max(sizes), dtype=torch.uint8)
        mine[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        found = self._gather_tensors(mine)
        return [
            json.loads(bytes(theirs[:size].tolist()))
            for theirs, size in zip(found, sizes, strict=True)
        ]

    def _gather_tensors(self, mine: Tensor) -> list[Tensor]:
        from torch import distributed

        found = [torch.empty_like(mine) for _ in range(self.size)]
        _collectively(lambda: distributed.all_gather(found, mine))
        return found


def refuse_unequal_weights(model: nn.Module, ranks: Ranks) -> None:
    """Raise ResourceError where a rank has other weights than rank 0.

    Each computes the same update from the same gradient, so that only ranks on which the same
    operations give other digits can differ.
    """
    if ranks.size == 1:
        return
    sums = [parameter.detach().view(torch.int32).sum() for parameter in model.parameters()]
    found = ranks.gather(torch.stack(sums).tolist())
    if others := [str(rank) for rank, theirs in enumerate(found) if theirs != found[0]]:
        raise ResourceError(
            f"the weights of rank {', '.join(others)} are no longer those of rank 0",
            hint="train on processors of one type, with the same packages and --threads; "
            "--resume goes on from the last checkpoint",
        )


def _sum_in_place(tensors: Sequence[Tensor]) -> None:
    from torch import distributed

    works = [distributed.all_reduce(tensor, async_op=True) for tensor in tensors]
    for work in works:
        assert work is not None
        work.wait()


def _collectively(operation: Callable[[], object]) -> None:
    """Raises RankLost, which holds no reference to the group, so that it can be closed."""
    try:
        operation()
        return
    except RuntimeError as error:  # of torch.distributed, all of them
        reason = str(error)
    raise RankLost(reason)
