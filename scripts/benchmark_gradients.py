"""How ranks sum their gradients: as training does it, or by DistributedDataParallel.

    python scripts/benchmark_gradients.py [--processes 2] [--pairs 96] [--rounds 30]

Each rank computes forward and backward pass on its rows of a batch of random ids, with recipe
`small`; then the gradients are summed by `ConnectedRanks.sum_gradients`, or were summed during the
backward pass, in buckets of 1 or of 25 MB, by torch's DistributedDataParallel. The gradients are
compared. Nothing else may run meanwhile. docs/scale.md has the results.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, distributed, nn

from cli.runs.config import read_recipe, resolve
from cli.runs.launching import rank_environments
from seq2seq.batch import BOS, EOS, Batch, BatchPosition, Source
from seq2seq.building import build_model
from seq2seq.model import EncoderDecoder
from seq2seq.training.losses import batch_loss
from seq2seq.training.ranks import ConnectedRanks

VOCABULARY = 8000
LENGTH = 14  # pieces of each side
BUCKETS = (1, 25)  # MB; 25 is DistributedDataParallel's default


class Objective(nn.Module):
    """The objective of a batch per token, as a forward pass."""

    def __init__(self, model: EncoderDecoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, tokens: int) -> Tensor:
        return batch_loss(self.model, batch, smoothing=0.1).objective / tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=96, help="in a batch of all ranks")
    parser.add_argument("--rounds", type=int, default=30)
    asked = parser.parse_args()
    if "RANK" in os.environ:
        compare(asked)
        return
    command = [sys.executable, *sys.argv]
    ranks = [
        subprocess.Popen(command, env=os.environ | environment)
        for environment in rank_environments(asked.processes)
    ]
    codes = [rank.wait() for rank in ranks]
    sys.exit(int(any(codes)))


def compare(asked: argparse.Namespace) -> None:
    """Time each way in turn, and print the medians on rank 0."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    ranks = ConnectedRanks(distributed.get_rank(), distributed.get_world_size())
    batch, tokens = random_batch(asked.pairs), asked.pairs * (LENGTH + 1)
    updates = {
        "no sum": one_rank(Objective(recipe_model()), batch, tokens),
        "after the backward pass": summed(recipe_model(), ranks, batch, tokens),
    }
    for size in BUCKETS:
        name = f"DistributedDataParallel, {size} MB"
        updates[name] = parallel(recipe_model(), size, ranks, batch, tokens)
    norms = {name: update() for name, update in updates.items()}
    times: dict[str, list[float]] = {name: [] for name in updates}
    for _ in range(asked.rounds):
        for name, update in updates.items():
            distributed.barrier()
            began = time.perf_counter()
            update()
            times[name].append(time.perf_counter() - began)
    if ranks.is_first:
        print("| gradients | ms an update | norm of the gradient |")
        print("| --- | ---: | ---: |")
        for name, each in times.items():
            print(f"| {name} | {1000 * median(each):.1f} | {norms[name]:.6f} |")
    distributed.destroy_process_group()


def recipe_model() -> EncoderDecoder:
    torch.manual_seed(1)
    config = resolve(read_recipe("small"))
    return build_model(
        config.model, source_vocabulary=VOCABULARY, target_vocabulary=VOCABULARY, joint=True
    ).eval()  # without dropout, so that gradients can be compared


def random_batch(pairs: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    words = torch.randint(EOS + 1, VOCABULARY, (2, pairs, LENGTH), generator=generator)
    ends = torch.full((pairs, 1), EOS)
    target = torch.cat([torch.full((pairs, 1), BOS), words[1], ends], dim=1)
    source = Source(torch.cat([words[0], ends], dim=1), torch.full((pairs,), LENGTH + 1))
    return Batch(source, target, tuple(range(pairs)), BatchPosition(1, 0))


def one_rank(objective: nn.Module, batch: Batch, tokens: int) -> Callable[[], float]:
    """Forward and backward pass on the rows of this rank; returns the norm of the gradient."""
    rank, size = distributed.get_rank(), distributed.get_world_size()
    share = batch.shared(rank, size)

    def update() -> float:
        objective.zero_grad(set_to_none=True)
        objective(share, tokens).backward()
        return norm(objective)

    return update


def summed(
    model: EncoderDecoder, ranks: ConnectedRanks, batch: Batch, tokens: int
) -> Callable[[], float]:
    objective = Objective(model)
    share = ranks.share(batch)

    def update() -> float:
        objective.zero_grad(set_to_none=True)
        loss = objective(share, tokens)
        loss.backward()
        ranks.sum_gradients(model, [loss.detach().reshape(1)])
        return norm(objective)

    return update


def parallel(
    model: EncoderDecoder, megabytes: int, ranks: ConnectedRanks, batch: Batch, tokens: int
) -> Callable[[], float]:
    """DistributedDataParallel takes the mean over the ranks, of losses that are here as large."""
    objective = nn.parallel.DistributedDataParallel(
        Objective(model), bucket_cap_mb=megabytes, gradient_as_bucket_view=True
    )
    return one_rank(_Scaled(objective, ranks.size), batch, tokens)


class _Scaled(nn.Module):
    def __init__(self, objective: nn.Module, factor: int) -> None:
        super().__init__()
        self.objective, self.factor = objective, factor

    def forward(self, batch: Batch, tokens: int) -> Tensor:
        loss: Tensor = self.objective(batch, tokens)
        return loss * self.factor


def norm(module: nn.Module) -> float:
    gradients = [each.grad for each in module.parameters() if each.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))


if __name__ == "__main__":
    main()
