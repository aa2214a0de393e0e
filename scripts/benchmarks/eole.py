"""Eole 0.6.4, the maintained descendant of OpenNMT-py: its settings, its training, its translation.

Its recurrent encoder does not pack sequences: the backward direction starts with the padding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.job import Job, Search, write_json
from benchmarks.opennmt import corpus_settings, run_settings, train_watched, training_settings

NAME = "Eole"
ORDERS = ("luong",)
DOCUMENTED = False  # it documents no recurrent model
PRECISIONS = {"cpu": ("float32",)}


def settings(job: Job) -> dict[str, Any]:
    """Its configuration; settings that are not here keep its defaults."""
    sizes = job.sizes
    return {
        **corpus_settings(job),
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
            "dropout": [job.regime.dropout],
            **run_settings(job),
            **training_settings(job),
        },
    }


def train(job: Job) -> dict[str, Any]:
    """Train; runs in its own environment."""
    import eole.train_single as program
    from eole.bin.run.train import train as run
    from eole.config.run import TrainConfig

    chosen = settings(job)
    write_json(job.folder / "config.yaml", chosen)
    return train_watched(job, program, lambda: run(TrainConfig(**chosen)))


def translation(job: Job, mark: float, source: Path, output: Path, *, search: Search) -> list[str]:
    """The arguments to translate a file of pieces with its own Python."""
    held = ["--min_length", str(search.length), "--max_length", str(search.length)]
    model = job.folder / "model" / f"step_{mark:.0f}"
    return [
        "-m", "eole.bin.main", "predict", "--model_path", str(model), "--src", str(source),
        "--output", str(output), "--beam_size", str(search.beam), "--length_penalty", "avg",
        "--batch_size", str(search.batch_sentences), "--batch_type", "sents",
        *(held if search.length is not None else []),
    ]  # fmt: skip
