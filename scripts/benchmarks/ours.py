"""Our trainer, by the interface of its peers; runs in the environment of the script."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.job import Job, Search
from benchmarks.timer import Counts, StopTraining, UpdateTimer, synchronized_clock, then_stop

if TYPE_CHECKING:
    from data.token_store import TokenStore
    from seq2seq.batch import Batch

NAME = "seq2seq"
ORDERS = ("luong", "bahdanau")


def settings(job: Job) -> dict[str, Any]:
    """Settings other than the defaults, as sections of our configuration."""
    sizes, regime = job.sizes, job.regime
    return {
        "model": {
            "embedding_size": sizes.embedding,
            "encoder_size": sizes.encoder,
            "decoder_size": sizes.decoder,
            "attention_size": sizes.attention,
            "attention": job.order,
            "score": {"luong": "general", "bahdanau": "additive"}[job.order],
            "readout_embedding": False,
            "bridge": "copy",
            "tie_embeddings": "none",
            "embedding_dropout": regime.dropout,
            "dropout": regime.dropout,
        },
        "training": {
            "seed": job.seed,
            "updates": 10**9,
            "validate_every": 10**9,
            "batch_tokens": job.batch_tokens,
            "learning_rate": regime.learning_rate,
            "warmup": 0,
            "decay": "none",
            "label_smoothing": regime.label_smoothing,
            "clip_norm": regime.clip_norm,
            "precision": job.precision,
            "cuda_graphs": job.cuda_graphs,
        },
    }


def train(job: Job) -> dict[str, Any]:
    """Train whole epochs, timed by the clock of the peers."""
    import torch

    from cli.runs.device import choose_device
    from data.token_store import TokenStore
    from seq2seq.building import build_model
    from seq2seq.config import ModelConfig, TrainingConfig
    from seq2seq.model import count_parameters
    from seq2seq.training.events import TrainingState, ValidationScores
    from seq2seq.training.loop import fit
    from seq2seq.training.optimization import build_optimizer

    device = choose_device(job.device, job.threads)
    chosen = settings(job)
    config = TrainingConfig(**chosen["training"])
    store = TokenStore.open(job.store)
    torch.manual_seed(config.seed)
    model = build_model(
        ModelConfig(**chosen["model"]),
        source_vocabulary=job.sizes.vocabulary,
        target_vocabulary=job.sizes.vocabulary,
        joint=store.joint,
        output_ids=None if store.output_ids is None else store.output_ids.tolist(),
    ).to(device)
    timer = UpdateTimer(job.warmup, clock=synchronized_clock(device))
    batches = timer.watch(then_stop(_epochs(store, job)), count)
    events = fit(
        model,
        build_optimizer(model, config),
        batches,
        lambda: ValidationScores(0.0),  # never called: validate_every is beyond the last update
        config,
        state=TrainingState(),
        device=device,
    )
    with suppress(StopTraining):
        for _ in events:
            pass
    return timer.report() | {"parameters": count_parameters(model)}


def _epochs(store: TokenStore, job: Job) -> Iterator[Batch]:
    """The first epochs of the endless stream of training batches."""
    from itertools import takewhile

    from data.batching import EpochPlan, token_budget_batches
    from seq2seq.batch import FIRST_BATCH

    plan = EpochPlan(budget=job.batch_tokens, seed=job.seed)
    stream = token_budget_batches(store.split("train"), plan, start=FIRST_BATCH)
    return takewhile(lambda batch: batch.position.epoch <= job.epochs, stream)


def count(batch: Batch) -> Counts:
    source_tokens = int(batch.source.lengths.sum())
    labels = batch.labels
    return Counts(1, len(labels), source_tokens, batch.target_tokens, labels.numel())


def training(job: Job, run: Path, *, recipe: str | None, minutes: float) -> list[str]:
    """The command that trains for a number of minutes.

    recipe: its own settings; None: those that the program chooses for the corpus and the minutes
    """
    fixed = []
    if recipe is not None:
        fixed = ["--recipe", recipe, f"--set=training.updates={10**6}"]  # only the minutes end it
    return [
        _program(), "train", str(job.store), str(run), *fixed,
        f"--set=training.precision={job.precision}",
        "--minutes", f"{minutes:g}", "--seed", str(job.seed), "--threads", str(job.threads),
    ]  # fmt: skip


def translation(job: Job, run: Path, source: Path, references: Path, output: Path) -> list[str]:
    """The command that translates with a run's best checkpoint and writes the translations."""
    return [
        _program(), "evaluate", str(run), str(source), str(references), "--beam", "5",
        "--output", str(output), "--overwrite", "--threads", str(job.threads),
    ]  # fmt: skip


def training_of_sizes(job: Job, run: Path, *, minutes: float) -> list[str]:
    """The command that trains a model of the sizes that every system has."""
    chosen = settings(job)
    chosen["training"] |= {"minutes": minutes, "validate_every": None, "patience": 0}
    options = [
        f"--set={section}.{name}={_toml(value)}"
        for section, values in chosen.items()
        for name, value in values.items()
        if value is not None and name != "seed"
    ]
    return [
        _program(), "train", str(job.store), str(run), "--recipe", "small",
        "--seed", str(job.seed), "--threads", str(job.threads), *options,
    ]  # fmt: skip


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def search_command(
    job: Job, run: Path, source: Path, search: Search, options: Sequence[str]
) -> list[str]:
    """The command that translates a file with a run's best checkpoint."""
    held = [f"--set=search.{bound}_length={search.length}" for bound in ("min", "max")]
    return [
        _program(), "translate", str(run), str(source), "--beam", str(search.beam),
        f"--set=search.batch_sentences={search.batch_sentences}", "--threads", str(job.threads),
        *(held if search.length is not None else []), *options,
    ]  # fmt: skip


def _program() -> str:
    return str(Path(sys.executable).with_name("seq2seq"))
