"""Joey NMT 2.3.0: its settings, its training under our clock, its translation.

Its attention "bahdanau" is only the additive score: the decoder attends with its new state. It is
trained with input feeding in either order, so that its cell has as wide an input as the others'.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.job import Job, Search, write_json
from benchmarks.timer import Counts, StopTraining, UpdateTimer, stop_after_marks, then_stop

NAME = "Joey NMT"
ORDERS = ("luong", "bahdanau")
DOCUMENTED = True
PRECISIONS = {"cpu": ("float32",)}
SEARCH = "joeynmt.prediction:search"


def settings(job: Job) -> dict[str, Any]:
    """Its configuration; settings that are not here keep its defaults.

    Documented are those of its configs/iwslt14_deen_bpe.yaml, the smallest real corpus on which it
    documents a recurrent model.
    """
    return {
        "name": "benchmark",
        "joeynmt_version": "2.3.0",
        "model_dir": str(job.folder / "model"),
        "use_cuda": False,
        "random_seed": job.seed,
        "data": {
            "train": str(job.corpus / "train"),
            "dev": str(job.corpus / "valid"),
            "dataset_type": "plain",
            "src": _side("source", job),
            "trg": _side("target", job),
        },
        "model": _documented_model() if job.documented else _model(job),
        "training": {
            **(_DOCUMENTED_TRAINING if job.documented else _regime(job)),
            "optimizer": "adam",
            "scheduling": "plateau",
            "normalization": "tokens",
            "batch_type": "sentence",
            "early_stopping_metric": "ppl",
            "epochs": 10**6 if job.marks else job.epochs,
            "logging_freq": job.updates_an_epoch,
            "validation_freq": job.updates_an_epoch if job.marks else 10**6 * job.updates_an_epoch,
            "keep_best_ckpts": 1,
            "overwrite": True,
        },
        "testing": {"beam_size": 5, "beam_alpha": 1.0, "batch_size": 64, "eval_metrics": []},
    }


def _side(language: str, job: Job) -> dict[str, Any]:
    return {"lang": language, "level": "word", "voc_file": str(job.corpus / "vocabulary")}


def _model(job: Job) -> dict[str, Any]:
    sizes, dropout = job.sizes, job.regime.dropout
    embeddings = {"embedding_dim": sizes.embedding, "dropout": dropout}
    return {
        "tied_embeddings": False,
        "tied_softmax": False,
        "encoder": {
            "type": "recurrent",
            "rnn_type": "lstm",
            "embeddings": embeddings,
            "hidden_size": sizes.encoder,
            "bidirectional": True,
            "num_layers": 1,
            "dropout": dropout,
        },
        "decoder": {
            "type": "recurrent",
            "rnn_type": "lstm",
            "embeddings": embeddings,
            "hidden_size": sizes.decoder,
            "num_layers": 1,
            "dropout": dropout,
            "hidden_dropout": dropout,
            "init_hidden": "last",  # copied, as in the others
            "input_feeding": True,
            "attention": job.order,
        },
    }


def _regime(job: Job) -> dict[str, Any]:
    regime = job.regime
    return {
        "learning_rate": regime.learning_rate,
        "learning_rate_min": 1e-9,
        "patience": 0,  # the rate is halved whenever a validation is no better than the best
        "decrease_factor": 0.5,
        "clip_grad_norm": regime.clip_norm,
        "label_smoothing": regime.label_smoothing,
        "batch_size": regime.batch_sentences,
    }


_DOCUMENTED_TRAINING = {
    "learning_rate": 2e-4,
    "patience": 8,
    "decrease_factor": 0.7,
    "batch_size": 80,
}


def _documented_model() -> dict[str, Any]:
    common = {
        "type": "recurrent",
        "rnn_type": "gru",
        "embeddings": {"embedding_dim": 620},
        "num_layers": 1,
        "dropout": 0.0,
    }
    decoder = {
        "hidden_size": 1000,
        "hidden_dropout": 0.2,
        "init_hidden": "bridge",
        "input_feeding": True,
        "attention": "bahdanau",
    }
    return {
        "encoder": {**common, "hidden_size": 500, "bidirectional": True},
        "decoder": {**common, **decoder},
    }


def train(job: Job) -> dict[str, Any]:
    """Train; runs in its own environment."""
    from joeynmt import training

    chosen = settings(job)
    write_json(job.folder / "config.yaml", chosen)
    (job.folder / "model").mkdir(parents=True, exist_ok=True)
    timer, seen = UpdateTimer(0 if job.marks else job.warmup), {}

    class Watched(training.TrainManager):  # type: ignore[misc]
        def train_and_validate(self, train_data: Any, valid_data: Any) -> None:
            seen["parameters"] = sum(p.numel() for p in self.model.parameters())
            validate: Callable[..., Any] = super()._validate
            self._validate = timer.exclude(validate)
            make = train_data.make_iter
            train_data.make_iter = lambda **named: WatchedLoader(make(**named), timer, job, self)
            super().train_and_validate(train_data, valid_data)

    training.TrainManager = Watched
    with suppress(StopTraining):
        training.train(rank=0, world_size=None, cfg=chosen, skip_test=True)
    return timer.report() | seen


class WatchedLoader:
    """Its loader of batches, timed by our clock."""

    def __init__(self, loader: Any, timer: UpdateTimer, job: Job, manager: Any) -> None:
        self._loader, self._timer, self._job = loader, timer, job
        self._pad = manager.model.pad_index
        self._save = _saving(manager, job)
        self._epochs = 0  # that have begun

    def __iter__(self) -> Iterator[Any]:
        batches = self._timer.watch(self._batches(), lambda batch: count(batch, pad=self._pad))
        if not self._job.marks:
            return batches
        return stop_after_marks(batches, self._timer, self._job.marks, self._save)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def _batches(self) -> Iterator[Any]:
        self._epochs += 1
        last = not self._job.marks and self._epochs == self._job.epochs
        return then_stop(self._loader) if last else iter(self._loader)


def count(batch: Any, *, pad: int) -> Counts:
    """Count a batch whose targets [B, T] end in EOS, as its sources do."""
    tokens = int(batch.trg.ne(pad).sum())
    return Counts(1, len(batch.trg), int(batch.src_length.sum()), tokens, batch.trg.numel())


def _saving(manager: Any, job: Job) -> Callable[[float], None]:
    """Save its own checkpoint, and copy it to where it is not deleted later."""

    def save(mark: float) -> None:
        manager._save_checkpoint(False, float("nan"))
        shutil.copy(manager.model_dir / f"{manager.stats.steps}.ckpt", _checkpoint(job, mark))

    return save


def _checkpoint(job: Job, mark: float) -> Path:
    return job.folder / f"mark-{mark:.0f}.ckpt"


def translation(job: Job, mark: float, source: Path, output: Path, *, search: Search) -> list[str]:
    """The arguments to translate with its own Python; it reads pieces from standard input."""
    chosen = settings(job)
    chosen["testing"] |= {"beam_size": search.beam, "batch_size": search.batch_sentences}
    if search.length is not None:
        chosen["testing"] |= {f"{bound}_output_length": search.length for bound in ("min", "max")}
    chosen["testing"]["load_model"] = str(_checkpoint(job, mark))
    config = write_json(job.folder / f"translate-{mark:.0f}.yaml", chosen)
    return ["-m", "joeynmt", "translate", str(config), "-o", str(output)]
