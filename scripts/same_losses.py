"""Whether a change leaves the losses of training as they were, digit for digit.

    python scripts/same_losses.py REVISION [--updates 30] [--only WORD]

Trains the same models, from the same seeds on the same invented sentences, once with the code of a
revision of this repository and once with the working tree, through `fit` in float32 on one thread,
and compares the loss, objective and gradient norm of every update and the weights at the end (the
averaged ones too). Each order of attention is trained plainly, with dropout, accumulation, a moving
average and scheduled sampling; other cells and shapes of models plainly.

A change of how dropout masks are drawn is a change of the random numbers, not of the arithmetic:
the rows named "dropout" differ then, and only these.
"""

import argparse
import hashlib
import importlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
Settings = dict[str, Any]
ORDERS: dict[str, Settings] = {
    "none": {"attention": "none"},
    "luong": {"attention": "luong", "score": "general"},
    "bahdanau": {"attention": "bahdanau", "score": "additive"},
    "conditional": {"attention": "conditional", "score": "additive", "cell": "gru"},
}
OTHER_MODELS: dict[str, Settings] = {
    "luong, no feeding": {"attention": "luong", "score": "general", "input_feeding": False},
    "luong, two layers": {"attention": "luong", "decoder_layers": 2, "encoder_layers": 2},
    "luong, gru": {"attention": "luong", "cell": "gru"},
    "bahdanau, gru_reset_before": {
        "attention": "bahdanau", "score": "concat", "cell": "gru_reset_before",
    },
    "luong, lstm_layer_norm": {"attention": "luong", "cell": "lstm_layer_norm"},
    "luong, four heads": {"attention": "luong", "heads": 4, "score": "scaled_dot"},
    "luong, local_p": {"attention": "luong", "scope": "local_p", "window": 4},
    "bahdanau, coverage": {"attention": "bahdanau", "score": "additive", "coverage": "gru"},
    "luong, untied": {"attention": "luong", "tie_embeddings": "none", "scale_embeddings": False},
}  # fmt: skip
DROPOUT = {"dropout": 0.2, "embedding_dropout": 0.1, "word_dropout": 0.1}
VARIANTS: dict[str, Settings] = {
    "dropout": {},
    "accumulation": {"accumulate": 3},
    "moving average": {"ema": 0.9, "weight_decay": 0.01},
    "scheduled sampling": {"scheduled_sampling": 0.8, "coverage_loss": 0.5},
}
SIZES = {"embedding_size": 32, "encoder_size": 32, "decoder_size": 64, "attention_size": 64}
VOCABULARY = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("revision", nargs="?", help="what to compare with, such as HEAD~1")
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--only", default="", help="trainings with this word in their names")
    parser.add_argument("--print-results", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.print_results:
        print(json.dumps(results(arguments.updates, arguments.only)))
        return
    if not arguments.revision:
        parser.error("name the revision to compare with")
    now = results_of(ROOT, arguments)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git("worktree", "add", "--detach", str(tree), arguments.revision)
        try:
            before = results_of(tree, arguments)
        finally:
            git("worktree", "remove", "--force", str(tree))
    sys.exit(0 if print_comparison(before, now) else 1)


def git(*arguments: str) -> None:
    subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, capture_output=True)


def results_of(tree: Path, arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Run this script with the packages of a tree."""
    finished = subprocess.run(
        [
            *(sys.executable, __file__, "--print-results"),
            *("--updates", str(arguments.updates), "--only", arguments.only),
        ],
        env=os.environ | {"PYTHONPATH": str(tree)},
        cwd=tree,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return dict(json.loads(finished.stdout))


def print_comparison(before: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> bool:
    """Print how far apart the results are; returns whether they are the same everywhere."""
    print(f"{'training':32} {'last loss':>20} {'same updates':>13} {'difference':>11}  weights")
    for name, old in before.items():
        new = now[name]
        pairs = list(zip(old["updates"], new["updates"], strict=True))
        same = next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))
        difference = max(abs(a[0] - b[0]) for a, b in pairs)
        weights = "same" if old["weights"] == new["weights"] else "DIFFER"
        loss = new["updates"][-1][0]
        print(f"{name:32} {loss!r:>20} {same:>6} of {len(pairs):<3} {difference:>11.1e}  {weights}")
    identical = before == now
    print(f"{len(before)} trainings: {'all the same' if identical else 'not all the same'}")
    return identical


def results(updates: int, only: str) -> dict[str, dict[str, Any]]:
    import torch

    torch.set_num_threads(1)
    trainings: dict[str, tuple[Settings, Settings]] = {
        name: (model, {}) for name, model in (ORDERS | OTHER_MODELS).items()
    }
    for (order, model), (variant, training) in itertools.product(ORDERS.items(), VARIANTS.items()):
        noise = DROPOUT if variant == "dropout" else {}
        trainings[f"{order}, {variant}"] = (model | noise, training)
    chosen = {name: each for name, each in trainings.items() if only in name}
    if not chosen:
        sys.exit(f"no training has {only!r} in its name; there are {', '.join(trainings)}")
    return {name: train(model, training, updates) for name, (model, training) in chosen.items()}


def train(model_settings: Settings, training_settings: Settings, updates: int) -> dict[str, Any]:
    """[nats per token, objective per token, gradient norm] of every update; hash of the weights."""
    import torch

    fit = found("seq2seq.training.loop:fit", "seq2seq.training:fit")
    state = found("seq2seq.training.events:TrainingState", "seq2seq.training:TrainingState")()
    average_of = found(
        "seq2seq.training.moving_average:MovingAverage", "seq2seq.moving_average:MovingAverage"
    )
    build_optimizer = found(
        "seq2seq.training.optimization:build_optimizer", "seq2seq.optimization:build_optimizer"
    )
    torch.manual_seed(1)
    settings = found("seq2seq.config:ModelConfig")(
        **SIZES | dict.fromkeys(("dropout", "embedding_dropout"), 0.0) | model_settings
    )
    model = found("seq2seq.building:build_model")(
        settings, source_vocabulary=VOCABULARY, target_vocabulary=VOCABULARY, joint=True
    )
    config = found("seq2seq.config:TrainingConfig")(
        updates=updates, validate_every=updates + 1, warmup=5, precision="float32",
        **training_settings,
    )  # fmt: skip
    average = average_of(model, decay=config.ema) if config.ema else None
    events = fit(
        model,
        build_optimizer(model, config),
        batches(torch.Generator().manual_seed(2)),
        lambda: scores(1.0),
        config,
        state=state,
        average=average,
    )
    rows = []
    for event in events:
        if hasattr(event, "gradient_norm"):
            now, before = "objective_per_token", "smoothed_nats_per_token"
            objective = getattr(event, now if hasattr(event, now) else before)
            rows.append([event.nats_per_token, objective, event.gradient_norm])
    weights = [*model.parameters(), *(average.weights.values() if average else ())]
    digest = hashlib.sha256()
    for each in weights:
        digest.update(each.detach().numpy().tobytes())
    return {"updates": rows, "weights": digest.hexdigest()}


def scores(nats_per_token: float) -> Any:
    name = "ValidationScores"
    return found(f"seq2seq.training.events:{name}", "seq2seq.training:Measured")(nats_per_token)


def found(*paths: str) -> Any:
    """The first of several "module:name" that a tree has: names differ between revisions."""
    for path in paths:
        module, _, name = path.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"this tree has none of {', '.join(paths)}")


def batches(generator: Any) -> Iterator[Any]:
    """Endless batches of 16 sentences of 3 to 12 symbols, each to be reversed."""
    for number in itertools.count():
        yield invented_batch(generator, number)


def invented_batch(generator: Any, number: int) -> Any:
    import torch

    batch = importlib.import_module("seq2seq.batch")
    lengths = torch.randint(3, 13, (16,), generator=generator)
    sources = torch.full((16, 13), batch.PAD)
    targets = torch.full((16, 14), batch.PAD)
    targets[:, 0] = batch.BOS
    for row, length in enumerate(lengths.tolist()):
        symbols = torch.randint(4, VOCABULARY, (length,), generator=generator)
        sources[row, : length + 1] = torch.cat([symbols, torch.tensor([batch.EOS])])
        targets[row, 1 : length + 2] = torch.cat([symbols.flip(0), torch.tensor([batch.EOS])])
    lengths = lengths + 1
    source = [batch.Source(sources, lengths)] if hasattr(batch, "Source") else [sources, lengths]
    position = batch.BatchPosition(epoch=1, batch=number)
    return batch.Batch(*source, targets, tuple(range(16)), position)


if __name__ == "__main__":
    main()
