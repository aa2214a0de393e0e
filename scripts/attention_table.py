"""BLEU with every order of attention and score, at equal updates and sizes, as a table.

    seq2seq corpus get multi30k corpus --source-language de --target-language en
    seq2seq preprocess corpus/train.de corpus/train.en store \
        --valid-source corpus/valid.de --valid-target corpus/valid.en
    python scripts/attention_table.py store corpus/test_2016_flickr.de corpus/test_2016_flickr.en \
        runs --output docs/attention-on-multi30k.md

Each model is trained, and its best checkpoint evaluated, by the installed program. What is done
already in the folder of runs is not done again.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from installed import run_program, set_options

TABLE_SCORES = ("dot", "scaled_dot", "general", "additive", "concat")
SIZES = {
    "embedding_size": 128,
    "encoder_size": 128,
    "decoder_size": 256,
    "attention_size": 256,
}


@dataclass(frozen=True)
class Row:
    """One model of the table: the settings that choose it."""

    attention: str
    variant: str  # the score, or without attention where the summary goes

    @property
    def name(self) -> str:
        return f"{self.attention}-{self.variant}"

    @property
    def settings(self) -> dict[str, str]:
        chosen = "context" if self.attention == "none" else "score"
        return {"attention": self.attention, chosen: self.variant}


ROWS = [
    Row("none", "state"),
    Row("none", "input"),
    *(Row(order, score) for order in ("luong", "bahdanau") for score in TABLE_SCORES),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("source", type=Path, help="test sentences, one a line")
    parser.add_argument("reference", type=Path, help="their translations")
    parser.add_argument("runs", type=Path, help="a folder for the runs")
    parser.add_argument("--updates", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="programs of one thread each")
    parser.add_argument("--output", type=Path, help="a Markdown file to write the table to")
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(arguments.workers) as pool:
        results = list(pool.map(lambda row: measure(row, arguments), ROWS))
    page = report(results, arguments)
    if arguments.output:
        arguments.output.write_text(page, encoding="utf-8")
    print(page, end="")


def measure(row: Row, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train and evaluate one model, unless its result exists already."""
    run = arguments.runs / row.name
    result = arguments.runs / f"{row.name}.json"
    if not result.exists():
        settings = {f"model.{name}": value for name, value in (SIZES | row.settings).items()}
        settings |= {
            "training.updates": arguments.updates,
            "training.validate_every": max(1, arguments.updates // 6),
            "training.metric": "perplexity",
        }
        chosen = set_options([f"{name}={value}" for name, value in settings.items()])
        seed, threads = ["--seed", str(arguments.seed)], ["--threads", "1"]
        start = ["--resume"] if run.exists() else ["--recipe", "small", *chosen, *seed]
        run_program("train", str(arguments.store), str(run), *start, *threads)
        test = [str(arguments.source), str(arguments.reference)]
        found = run_program("evaluate", str(run), *test, "--json", *threads)
        result.write_text(found, encoding="utf-8")
    facts: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    facts["described"] = json.loads(run_program("describe", str(run), "--json"))
    print(f"{row.name} is done", file=sys.stderr, flush=True)
    return {"row": row} | facts


def report(results: Sequence[dict[str, Any]], arguments: argparse.Namespace) -> str:
    sizes = ", ".join(f"{name.removesuffix('_size')} {size}" for name, size in SIZES.items())
    lines = [
        "# Attention on Multi30k, at equal updates and sizes",
        "",
        "Made by `python scripts/attention_table.py`, whose docstring has the commands. "
        f"Recipe small with other widths ({sizes}; encoder: each direction), {arguments.updates} "
        f"updates, seed {arguments.seed}, one run each; the checkpoint with the best validation "
        f"perplexity; {arguments.source.name}, beam 5, cased and detokenised.",
        "",
        f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, torch "
        f"{torch.__version__}, CPU. Signature: `{results[0]['bleu']['signature']}`.",
        "",
        "| attention | score or context | parameters | validation perplexity | BLEU | chrF |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        *map(_line, results),
    ]
    return "\n".join(lines) + "\n"


def _line(result: dict[str, Any]) -> str:
    described, row = result["described"], result["row"]
    nats = described["checkpoints"]["best"]["best_nats_per_token"]
    return (
        f"| {row.attention} | {row.variant} | {described['parameters'] / 1e6:.2f} M | "
        f"{2.718281828459045**nats:.2f} | {result['bleu']['score']:.1f} | "
        f"{result['chrf']['score']:.1f} |"
    )


if __name__ == "__main__":
    main()
