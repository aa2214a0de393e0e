"""Every allowed attention learns to reverse a sequence: order, score, heads, scope, normalizer.

    python scripts/attention_grid.py --output docs/attention-grid.md

Each combination is trained for the same number of updates on sequences of random symbols whose
target is the same sequence backwards, with the program's own model, loop and search. The table has
the perplexity and the share of exactly right outputs that it reaches on unseen sequences, and its
speed relative to `luong general`; the two are timed in turns within the same process.
"""

import argparse
import itertools
import json
import math
import platform
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import torch

from cli.commands.doctor.machine import processor
from seq2seq.batch import BOS, EOS, FIRST_BATCH, PAD, Batch, pad_sources
from seq2seq.building import build_model
from seq2seq.config import ModelConfig, ScoreName, SearchConfig, TrainingConfig
from seq2seq.errors import ConfigError
from seq2seq.model import EncoderDecoder
from seq2seq.search.inference import SingleModel
from seq2seq.search.translation import translate_ids
from seq2seq.training.events import TrainingState, ValidationScores
from seq2seq.training.loop import fit
from seq2seq.training.losses import batch_loss, corpus_nats_per_token
from seq2seq.training.optimization import build_optimizer

SYMBOLS = range(4, 14)
VOCABULARY = 14
LENGTHS = range(2, 8)  # symbols in a sequence
LEARNT = 0.9  # share of unseen sequences reversed without an error
SIZES: dict[str, Any] = {
    "embedding_size": 32,
    "encoder_size": 32,
    "decoder_size": 64,
    "attention_size": 64,
    "location_positions": 16,
    "window": 2,
    "embedding_dropout": 0.0,
    "dropout": 0.0,
}
EXCEPTIONS = {
    "none": "one vector must represent the whole sequence",
    "local_m": "a window of 2 around step t does not reach the other end of a longer sequence",
    "scaled_dot with one head, global softmax": "scores divided by the square root of 64 begin "
    "nearly equal and need longer; with --updates 600 these learn it too",
}
"""Kinds that need not learn it in the updates of the table, and why."""


@dataclass(frozen=True)
class AttentionVariant:
    """A combination of the axes of attention, as settings of `model`."""

    attention: str
    score: str = "-"
    heads: int = 1
    scope: str = "-"
    normalizer: str = "-"
    context: str = "-"

    @property
    def settings(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value != "-"}

    @property
    def exception(self) -> str | None:
        plain = (self.heads, self.scope, self.normalizer) == (1, "global", "softmax")
        slow = f"{self.score} with one head, global softmax" if plain else ""
        return EXCEPTIONS.get(self.attention) or EXCEPTIONS.get(self.scope) or EXCEPTIONS.get(slow)


REFERENCE = AttentionVariant("luong", "general")
"""Its speed is 1 in the table."""


@dataclass(frozen=True)
class Result:
    kind: AttentionVariant
    perplexity: float
    exact: float  # share of unseen sequences
    relative_speed: float  # updates a second, over those of the reference


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--batch", type=int, default=48, help="sequences in a batch")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument(
        "--only", nargs="*", default=[], help="only variants with these values, such as luong"
    )
    parser.add_argument("--output", type=Path, help="a Markdown file to write the table to")
    parser.add_argument("--json", action="store_true", help="a JSON object a line on stdout")
    arguments = parser.parse_args()
    wanted = set(arguments.only)
    variants = [v for v in every_variant() if wanted <= set(map(str, v.settings.values()))]
    results = []
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        work = pool.map(
            train,
            variants,
            itertools.repeat(arguments.updates),
            itertools.repeat(arguments.batch),
            itertools.repeat(arguments.seed),
        )
        for number, result in enumerate(work, start=1):
            results.append(result)
            print(f"{number}/{len(variants)}  {row(result)}", file=sys.stderr, flush=True)
            if arguments.json:
                print(json.dumps(asdict(result)), flush=True)
    page = report(results, arguments)
    if arguments.output:
        arguments.output.write_text(page, encoding="utf-8")
    elif not arguments.json:
        print(page, end="")
    failed = [result for result in results if not learnt(result) and not result.kind.exception]
    sys.exit(1 if failed else 0)


def every_variant() -> Iterator[AttentionVariant]:
    """Every combination that the configuration allows."""
    for context in ("state", "input"):
        yield AttentionVariant("none", context=context)
    for order, score, heads, scope, normalizer in itertools.product(
        ("luong", "bahdanau", "conditional"),
        get_args(ScoreName),
        (1, 4),
        ("global", "local_m", "local_p"),
        ("softmax", "sparsemax", "entmax15"),
    ):
        variant = AttentionVariant(order, score, heads, scope, normalizer)
        try:
            ModelConfig(**SIZES | variant.settings)
        except ConfigError:
            continue
        yield variant


def train(variant: AttentionVariant, updates: int, batch: int, seed: int) -> Result:
    """Train one variant and measure it on unseen sequences."""
    torch.set_num_threads(1)
    config = TrainingConfig(
        seed=seed,
        updates=updates,
        learning_rate=4e-3,
        warmup=50,
        label_smoothing=0.0,
        validate_every=updates,
        patience=0,
    )
    model = build(variant, seed)
    optimizer = build_optimizer(model, config)
    batches = sequences(seed=f"train:{seed}", size=batch)
    unseen = list(itertools.islice(sequences(seed=f"unseen:{seed}", size=batch), 5))
    for _ in fit(
        model,
        optimizer,
        batches,
        lambda: ValidationScores(corpus_nats_per_token(model, unseen)),
        config,
        state=TrainingState(),
    ):
        pass
    return Result(
        variant,
        perplexity=math.exp(min(corpus_nats_per_token(model, unseen), 20.0)),
        exact=exactly_right(model, unseen),
        relative_speed=relative_speed(model, build(REFERENCE, seed), batches, config),
    )


def build(variant: AttentionVariant, seed: int) -> EncoderDecoder:
    torch.manual_seed(seed)
    config = ModelConfig(**SIZES | variant.settings)
    return build_model(
        config, source_vocabulary=VOCABULARY, target_vocabulary=VOCABULARY, joint=True
    )


def sequences(*, seed: str, size: int) -> Iterator[Batch]:
    """Batches without end of random sequences and their mirror images."""
    rng = random.Random(seed)
    while True:
        sources = [[rng.choice(SYMBOLS) for _ in range(rng.choice(LENGTHS))] for _ in range(size)]
        source = pad_sources(sources)
        width = source.ids.shape[1] + 1
        targets = [[BOS, *reversed(each), EOS] for each in sources]
        rows = [target + [PAD] * (width - len(target)) for target in targets]
        yield Batch(source, torch.tensor(rows), tuple(range(1, size + 1)), FIRST_BATCH)


def exactly_right(model: EncoderDecoder, batches: Sequence[Batch]) -> float:
    """The share of sequences that greedy search reverses without an error."""
    right = total = 0
    for batch in batches:
        sources = [
            ids[: length - 1].tolist()
            for ids, length in zip(batch.source.ids, batch.source.lengths.tolist(), strict=True)
        ]
        found = translate_ids(SingleModel(model), sources, SearchConfig(beam=1))
        right += sum(
            best[0].ids == (*reversed(source), EOS)
            for source, best in zip(sources, found, strict=True)
        )
        total += len(sources)
    return right / total


def relative_speed(
    model: EncoderDecoder,
    reference: EncoderDecoder,
    batches: Iterator[Batch],
    config: TrainingConfig,
) -> float:
    """Updates a second over the reference's: the median of turns on the same batches."""
    optimizers = {each: build_optimizer(each, config) for each in (model, reference)}
    ratios = []
    for turn in range(6):
        few = [next(batches) for _ in range(5)]
        seconds = {each: _seconds(each, optimizer, few) for each, optimizer in optimizers.items()}
        if turn:  # the first warms up
            ratios.append(seconds[reference] / seconds[model])
    return statistics.median(ratios)


def _seconds(
    model: EncoderDecoder, optimizer: torch.optim.Optimizer, batches: Sequence[Batch]
) -> float:
    model.train()
    began = time.process_time()
    for batch in batches:
        loss = batch_loss(model, batch)
        optimizer.zero_grad()
        (loss.objective / batch.target_tokens).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return time.process_time() - began


def learnt(result: Result) -> bool:
    return result.exact >= LEARNT


def row(result: Result) -> str:
    variant = result.kind
    order = (
        variant.attention if variant.context == "-" else f"{variant.attention} ({variant.context})"
    )
    verdict = "yes" if learnt(result) else "no"
    return (
        f"| {order} | {variant.score} | {variant.heads} | {variant.scope} | {variant.normalizer} | "
        f"{result.perplexity:.3f} | {100 * result.exact:.1f} | {result.relative_speed:.2f} | "
        f"{verdict} |"
    )


def report(results: Sequence[Result], arguments: argparse.Namespace) -> str:
    expected = [result for result in results if not result.kind.exception]
    good = sum(map(learnt, expected))
    exceptions = [result for result in results if result.kind.exception]
    lines = [
        "# Every kind of attention learns to reverse a sequence",
        "",
        "Made by `python scripts/attention_grid.py`; its docstring describes the task. "
        f"{arguments.updates} updates of {arguments.batch} sequences of "
        f"{LENGTHS.start} to {LENGTHS.stop - 1} symbols out of {len(SYMBOLS)}, seed "
        f"{arguments.seed}; widths: embedding {SIZES['embedding_size']}, encoder 2 x "
        f"{SIZES['encoder_size']}, decoder {SIZES['decoder_size']}; window of local scopes "
        f"{SIZES['window']}. Learnt: at least {100 * LEARNT:.0f} % of unseen sequences come out "
        "exactly right with greedy search. Speed: updates a second, relative to luong general, "
        "of processor time; the two are timed in turns in the same process.",
        "",
        f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, torch "
        f"{torch.__version__}, {processor()}, {arguments.workers} process(es) of one thread.",
        "",
        f"Of {len(expected)} combinations that should learn it, {good} did. "
        f"Of the {len(exceptions)} exceptions, {sum(map(learnt, exceptions))} did:",
        "",
        *(f"* {name}: {why}" for name, why in EXCEPTIONS.items()),
        "",
        "| order | score | heads | scope | normalizer | perplexity | exact, % | speed | learnt |",
        "| --- | --- | ---: | --- | --- | ---: | ---: | ---: | --- |",
        *map(row, results),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
