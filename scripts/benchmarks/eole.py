"""Eole 0.6.4, the descendant of OpenNMT-py that is kept up; by the same interface.

Its recurrent encoder does not pack: the backward direction reads the padding first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.job import Job, write_json
from benchmarks.opennmt import train_watched

NAME = "Eole"
ORDERS = ("luong",)
PRECISIONS = {"cpu": ("float32",)}


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
        "seed": job.seed,
        "report_every": 100,
        "model": {
            "architecture": "custom",  # with "rnn" it builds a unidirectional encoder
            "embeddings": {"word_vec_size": sizes.embedding},
            "encoder": {
                "encoder_type": "brnn",
                "rnn_type": "LSTM",
                "layers": 1,
                "hidden_size": sizes.memory,
            },
            "decoder": {
                "decoder_type": "rnn",
                "rnn_type": "LSTM",
                "layers": 1,
                "hidden_size": sizes.decoder,
                "global_attention": "general",
            },
            "input_feed": 1,
        },
        "training": {
            "model_path": str(job.folder / "model"),
            "dropout": [regime.dropout],
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
            "train_steps": 10**9,
            "start_decay_steps": 10**9,
            "save_checkpoint_steps": 10**9,
            "valid_steps": job.updates_an_epoch if job.marks else 10**9,
        },
    }


def train(job: Job) -> dict[str, Any]:
    """Runs in its own environment."""
    import eole.train_single as program
    from eole.bin.run.train import train as run
    from eole.config.run import TrainConfig

    chosen = settings(job)
    write_json(job.folder / "config.yaml", chosen)
    return train_watched(job, program, lambda: run(TrainConfig(**chosen)))


def translation(job: Job, mark: float, source: Path, output: Path) -> list[str]:
    """The arguments with which its own Python translates a file of pieces."""
    model = job.folder / "model" / f"step_{mark:.0f}"
    return [
        "-m", "eole.bin.main", "predict", "--model_path", str(model), "--src", str(source),
        "--output", str(output), "--beam_size", "5", "--length_penalty", "avg",
        "--batch_size", "64", "--batch_type", "sents",
    ]  # fmt: skip
