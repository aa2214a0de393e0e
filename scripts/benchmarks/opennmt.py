"""OpenNMT-py 3.5.1: its settings, its training under our clock, its translation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.job import Job, write_json
from benchmarks.window import Counts, Enough, Window, finished_work, until_marks

NAME = "OpenNMT-py"
ORDERS = ("luong",)
PRECISIONS = {"cpu": ("float32",), "cuda": ("float32", "float16")}


def settings(job: Job) -> dict[str, Any]:
    """Its configuration; what is not here is its default."""
    sizes, regime, files = job.sizes, job.regime, str(job.corpus)
    return {
        "data": {
            "corpus": {"path_src": f"{files}/train.source", "path_tgt": f"{files}/train.target"},
            "valid": {"path_src": f"{files}/valid.source", "path_tgt": f"{files}/valid.target"},
        },
        "src_vocab": f"{files}/vocabulary",
        "share_vocab": True,
        "save_model": str(job.folder / "model"),
        "encoder_type": "brnn",
        "decoder_type": "rnn",
        "rnn_type": "LSTM",
        "layers": 1,
        "hidden_size": sizes.decoder,  # of both sides; its encoder halves it, a direction
        "word_vec_size": sizes.embedding,
        "global_attention": "general",
        "input_feed": 1,
        "dropout": regime.dropout,
        "label_smoothing": regime.label_smoothing,
        "optim": "adam",
        "learning_rate": regime.learning_rate,
        "max_grad_norm": regime.clip_norm,
        "batch_type": "sents",
        "batch_size": regime.batch_sentences,
        "valid_batch_size": regime.batch_sentences,
        "normalization": "tokens",
        "bucket_size": job.pairs,  # sorted by length within a whole epoch
        "num_workers": 0,  # batches are made by the process that trains, as everywhere here
        "seed": job.seed,
        "train_steps": 10**9,
        "start_decay_steps": 10**9,
        "save_checkpoint_steps": 10**9,
        "valid_steps": job.updates_an_epoch if job.marks else 10**9,
        "report_every": 100,
        **({"world_size": 1, "gpu_ranks": [0]} if job.device == "cuda" else {}),
        **({"model_dtype": "fp16"} if job.precision == "float16" else {}),
    }


def train(job: Job) -> dict[str, Any]:
    """Runs in its own environment."""
    import onmt.train_single as program
    from onmt.bin.train import _get_parser
    from onmt.bin.train import train as run

    config = write_json(job.folder / "config.yaml", settings(job))
    options, _ = _get_parser().parse_known_args(["-config", str(config)])
    return train_watched(job, program, lambda: run(options))


def translation(job: Job, mark: float, source: Path, output: Path) -> list[str]:
    """The arguments with which its own Python translates a file of pieces."""
    return [
        "-m", "onmt.bin.translate", "-model", str(job.folder / f"model_step_{mark:.0f}.pt"),
        "-src", str(source), "-output", str(output), "-beam_size", "5",
        "-length_penalty", "avg", "-batch_size", "64", "-batch_type", "sents",
    ]  # fmt: skip


def train_watched(job: Job, program: Any, run: Callable[[], None]) -> dict[str, Any]:
    """Run OpenNMT-py, or its descendant Eole, with its trainer's batches under our clock."""
    window = Window(0 if job.marks else job.warmup, clock=finished_work(job.device))
    seen = {}
    build = program.build_trainer

    def build_watched(*arguments: Any, **named: Any) -> Any:
        trainer = build(*arguments, **named)
        seen["parameters"] = sum(p.numel() for p in trainer.model.parameters())
        trainer.validate = window.outside(_halving(trainer))
        trainer.train = _watched(trainer, window, job)
        return trainer

    program.build_trainer = build_watched
    with suppress(Enough):
        run()
    return window.report() | seen


def _watched(trainer: Any, window: Window, job: Job) -> Callable[..., Any]:
    """The trainer's loop over watched batches, to the end of the last epoch or the last mark."""
    loop = trainer.train

    def watched(stream: Any, *rest: Any, **named: Any) -> Any:
        def counted(item: tuple[dict[str, Any], int]) -> Counts:
            return count(item[0], pad=trainer.train_loss.padding_idx)

        if not job.marks:
            return loop(window.watch(_epochs(stream, job.epochs), counted), *rest, **named)
        batches = window.watch(stream, counted)
        save = trainer.model_saver.save
        return loop(
            until_marks(batches, window, job.marks, lambda m: save(round(m))), *rest, **named
        )

    return watched


def count(batch: dict[str, Any], *, pad: int) -> Counts:
    """Of a batch whose targets [B, T] or [B, T, 1] go from BOS to EOS."""
    target = batch["tgt"].flatten(1)[:, 1:]
    real = int(target.ne(pad).sum())
    return Counts(1, len(target), int(batch["srclen"].sum()), real, target.numel())


def _epochs(stream: Iterable[tuple[Any, int]], count: int) -> Iterator[tuple[Any, int]]:
    """The stream has no end; a bucket of it is an epoch here."""
    for batch, bucket in stream:
        if bucket >= count:
            raise Enough
        yield batch, bucket


def _halving(trainer: Any) -> Callable[..., Any]:
    """Validation that halves the learning rate whenever perplexity is no better than the best."""
    validate, best = trainer.validate, float("inf")

    def halving(*arguments: Any, **named: Any) -> Any:
        nonlocal best
        stats = validate(*arguments, **named)
        if stats.ppl() >= best:
            trainer.optim._learning_rate /= 2
        best = min(best, stats.ppl())
        return stats

    return halving
