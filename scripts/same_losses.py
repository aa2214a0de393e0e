"""Whether a change leaves the losses of training as they were, digit for digit.

    python scripts/same_losses.py REVISION [--updates 30]

Trains the same models, from the same seeds on the same invented sentences, once with the code of a
revision of this repository and once with the working tree, in float32 on one thread without
dropout, and compares every loss of every update. Dropout is left out because a change of how masks
are drawn is a change of chance, not of arithmetic; `--dropout` leaves it in.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KINDS: dict[str, dict[str, object]] = {
    "none": {"attention": "none"},
    "luong, fed": {"attention": "luong", "score": "general"},
    "luong, not fed": {"attention": "luong", "score": "general", "input_feeding": False},
    "luong, two layers": {"attention": "luong", "decoder_layers": 2, "encoder_layers": 2},
    "bahdanau": {"attention": "bahdanau", "score": "additive"},
    "conditional": {"attention": "conditional", "score": "additive", "cell": "gru"},
    "gru": {"attention": "luong", "cell": "gru"},
    "gru_reset_before": {"attention": "bahdanau", "score": "concat", "cell": "gru_reset_before"},
    "lstm_layer_norm": {"attention": "luong", "cell": "lstm_layer_norm"},
    "four heads": {"attention": "luong", "heads": 4, "score": "scaled_dot"},
    "untied": {"attention": "luong", "tie_embeddings": "none", "scale_embeddings": False},
}
SIZES = {"embedding_size": 32, "encoder_size": 32, "decoder_size": 64, "attention_size": 64}
VOCABULARY = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("revision", nargs="?", help="what to compare with, such as HEAD~1")
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--print-losses", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.print_losses:
        print(json.dumps(losses(arguments.updates, arguments.dropout)))
        return
    if not arguments.revision:
        parser.error("which revision is to be compared with?")
    now = losses_of(ROOT, arguments)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git("worktree", "add", "--detach", str(tree), arguments.revision)
        try:
            before = losses_of(tree, arguments)
        finally:
            git("worktree", "remove", "--force", str(tree))
    sys.exit(0 if compared(before, now) else 1)


def git(*arguments: str) -> None:
    subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, capture_output=True)


def losses_of(tree: Path, arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Run this script with the packages of a tree."""
    made = subprocess.run(
        [
            *(sys.executable, __file__, "--print-losses"),
            *("--updates", str(arguments.updates), "--dropout", str(arguments.dropout)),
        ],
        env=os.environ | {"PYTHONPATH": str(tree)},
        cwd=tree,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return dict(json.loads(made.stdout))


def compared(before: dict[str, list[float]], now: dict[str, list[float]]) -> bool:
    """Print how far apart the losses are; whether they are the same everywhere."""
    print(f"{'model':20} {'last loss':>22} {'same updates':>14} {'largest difference':>20}")
    for name, old in before.items():
        new = now[name]
        same = next((i for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b), len(old))
        apart = max(abs(a - b) for a, b in zip(old, new, strict=True))
        print(f"{name:20} {new[-1]!r:>22} {same:>7} of {len(old)} {apart:>19.1e}")
    return before == now


def losses(updates: int, dropout: float) -> dict[str, list[float]]:
    import torch

    torch.set_num_threads(1)
    return {name: trained(settings, updates, dropout) for name, settings in KINDS.items()}


def trained(settings: dict[str, object], updates: int, dropout: float) -> list[float]:
    """Nats a token of every update, of float32 numbers as they are."""
    import torch

    try:
        from seq2seq.building import build_model
    except ImportError:  # a tree from before it had a file of its own
        from seq2seq.model import build_model  # type: ignore[attr-defined,no-redef]
    from seq2seq.config import ModelConfig, TrainingConfig
    from seq2seq.training.losses import batch_loss
    from seq2seq.training.optimization import build_optimizer

    torch.manual_seed(1)
    noise = {"dropout": dropout, "embedding_dropout": dropout}
    model = build_model(
        ModelConfig(**SIZES | noise | settings),
        source_vocabulary=VOCABULARY,
        target_vocabulary=VOCABULARY,
        joint=True,
    )
    optimizer = build_optimizer(model, TrainingConfig())
    chance = torch.Generator().manual_seed(2)
    made = []
    for _ in range(updates):
        loss = batch_loss(model, invented(chance), smoothing=0.1)
        optimizer.zero_grad()
        (loss.smoothed_nats / loss.tokens).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        made.append(loss.nats.item() / loss.tokens)
    return made


def invented(chance):
    """A batch of 16 sentences to be reversed, of 3 to 12 symbols."""
    import torch

    from seq2seq.batch import BOS, EOS, FIRST_BATCH, PAD, Batch, Source

    lengths = torch.randint(3, 13, (16,), generator=chance)
    sources = torch.full((16, 13), PAD)
    targets = torch.full((16, 14), PAD)
    targets[:, 0] = BOS
    for row, length in enumerate(lengths.tolist()):
        words = torch.randint(4, VOCABULARY, (length,), generator=chance)
        sources[row, : length + 1] = torch.cat([words, torch.tensor([EOS])])
        targets[row, 1 : length + 2] = torch.cat([words.flip(0), torch.tensor([EOS])])
    return Batch(Source(sources, lengths + 1), targets, tuple(range(16)), FIRST_BATCH)


if __name__ == "__main__":
    main()
