"""OpenNMT-py 3.5.1: its settings, its training under our clock, its translation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.job import Job, Search, write_json
from benchmarks.timer import Counts, StopTraining, UpdateTimer, stop_after_marks, synchronized_clock

NAME = "OpenNMT-py"
ORDERS = ("luong",)
DOCUMENTED = True
PRECISIONS = {"cpu": ("float32",), "cuda": ("float32", "float16")}
SEARCH = "onmt.translate.translator:Translator.translate_batch"


def settings(job: Job) -> dict[str, Any]:
    """Its configuration; settings that are not here keep its defaults.

    Documented are its defaults, with which docs/source/quickstart.md trains on 10,000 sentences:
    two layers of 500, one direction, SGD at rate 1, 64 sentences a batch.
    """
    sizes = job.sizes
    common = {
        **corpus_settings(job),
        **run_settings(job),
        "save_model": str(job.folder / "model"),
    }
    if job.documented:
        return common
    return {
        **common,
        **training_settings(job),
        "encoder_type": "brnn",
        "decoder_type": "rnn",
        "rnn_type": "LSTM",
        "layers": 1,
        "hidden_size": sizes.decoder,  # of both sides; each direction of its encoder has half of it
        "word_vec_size": sizes.embedding,
        "global_attention": "general",
        "input_feed": 1,
        "dropout": job.regime.dropout,
        **({"world_size": 1, "gpu_ranks": [0]} if job.device == "cuda" else {}),
        **({"model_dtype": "fp16"} if job.precision == "float16" else {}),
    }


def corpus_settings(job: Job) -> dict[str, Any]:
    """The part of the configuration on data, which Eole has too."""
    files = str(job.corpus)
    return {
        "data": {
            "corpus": {"path_src": f"{files}/train.source", "path_tgt": f"{files}/train.target"},
            "valid": {"path_src": f"{files}/valid.source", "path_tgt": f"{files}/valid.target"},
        },
        "src_vocab": f"{files}/vocabulary",
        "share_vocab": True,
        "seed": job.seed,
        "report_every": 100,
    }


def training_settings(job: Job) -> dict[str, Any]:
    """The part of the configuration on training, which Eole has too."""
    regime = job.regime
    return {
        "label_smoothing": regime.label_smoothing,
        "optim": "adam",
        "learning_rate": regime.learning_rate,
        "max_grad_norm": regime.clip_norm,
        "batch_type": "sents",
        "batch_size": regime.batch_sentences,
        "valid_batch_size": regime.batch_sentences,
        "normalization": "tokens",
        "bucket_size": job.pairs,  # sorted by length within a whole epoch
        "start_decay_steps": 10**9,
    }


def run_settings(job: Job) -> dict[str, Any]:
    """The part of the configuration on when to stop, save and validate, which Eole has too."""
    return {
        "num_workers": 0,  # the training process makes its batches, as in all systems here
        "train_steps": 10**9,
        "save_checkpoint_steps": 10**9,
        "valid_steps": job.updates_an_epoch if job.marks else 10**9,
    }


def train(job: Job) -> dict[str, Any]:
    """Train; runs in its own environment."""
    import onmt.train_single as program
    from onmt.bin.train import _get_parser
    from onmt.bin.train import train as run

    config = write_json(job.folder / "config.yaml", settings(job))
    options, _ = _get_parser().parse_known_args(["-config", str(config)])
    return train_watched(job, program, lambda: run(options))


def translation(job: Job, mark: float, source: Path, output: Path, *, search: Search) -> list[str]:
    """The arguments to translate a file of pieces with its own Python."""
    held = ["-min_length", str(search.length), "-max_length", str(search.length)]
    return [
        "-m", "onmt.bin.translate", "-model", str(job.folder / f"model_step_{mark:.0f}.pt"),
        "-src", str(source), "-output", str(output), "-beam_size", str(search.beam),
        "-length_penalty", "avg", "-batch_size", str(search.batch_sentences),
        "-batch_type", "sents", *(held if search.length is not None else []),
    ]  # fmt: skip


def train_watched(job: Job, program: Any, run: Callable[[], None]) -> dict[str, Any]:
    """Run OpenNMT-py or its descendant Eole, with its trainer's batches timed by our clock."""
    timer = UpdateTimer(0 if job.marks else job.warmup, clock=synchronized_clock(job.device))
    seen = {}
    build = program.build_trainer

    def build_watched(*arguments: Any, **named: Any) -> Any:
        trainer = build(*arguments, **named)
        seen["parameters"] = sum(p.numel() for p in trainer.model.parameters())
        validate = trainer.validate if job.documented else _halve_on_plateau(trainer)
        trainer.validate = timer.exclude(validate)
        trainer.train = _watched(trainer, timer, job)
        return trainer

    program.build_trainer = build_watched
    with suppress(StopTraining):
        run()
    return timer.report() | seen


def _watched(trainer: Any, timer: UpdateTimer, job: Job) -> Callable[..., Any]:
    """The trainer's loop over timed batches, to the end of the last epoch or the last mark."""
    loop = trainer.train

    def watched(stream: Any, *rest: Any, **named: Any) -> Any:
        def counted(item: tuple[dict[str, Any], int]) -> Counts:
            return count(item[0], pad=trainer.train_loss.padding_idx)

        if not job.marks:
            return loop(timer.watch(_epochs(stream, job.epochs), counted), *rest, **named)
        batches = timer.watch(stream, counted)
        save = trainer.model_saver.save
        return loop(
            stop_after_marks(batches, timer, job.marks, lambda m: save(round(m))), *rest, **named
        )

    return watched


def count(batch: dict[str, Any], *, pad: int) -> Counts:
    """Count a batch whose targets [B, T] or [B, T, 1] go from BOS to EOS."""
    target = batch["tgt"].flatten(1)[:, 1:]
    tokens = int(target.ne(pad).sum())
    return Counts(1, len(target), int(batch["srclen"].sum()), tokens, target.numel())


def _epochs(stream: Iterable[tuple[Any, int]], count: int) -> Iterator[tuple[Any, int]]:
    """The first batches of an endless stream, in which each bucket is an epoch here."""
    for batch, bucket in stream:
        if bucket >= count:
            raise StopTraining
        yield batch, bucket


def _halve_on_plateau(trainer: Any) -> Callable[..., Any]:
    """Validation that halves the learning rate whenever perplexity is no better than the best."""
    validate, best = trainer.validate, float("inf")

    def validate_and_halve(*arguments: Any, **named: Any) -> Any:
        nonlocal best
        stats = validate(*arguments, **named)
        if stats.ppl() >= best:
            trainer.optim._learning_rate /= 2
        best = min(best, stats.ppl())
        return stats

    return validate_and_halve
