"""How fast a run translates: speed, latency and memory with several search settings."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cli.runs.directory import RunDirectory
from cli.runs.shortlists import lexical_table
from cli.runs.translator import Translator
from seq2seq.config import SearchConfig
from seq2seq.errors import ConfigError
from seq2seq.kernels.precision import has_bfloat16_products
from seq2seq.kernels.products import has_int8_products
from seq2seq.system.figures import percentile
from seq2seq.system.peak_memory import peak_memory, restart_peak

BEAMS = (1, 5)
SHORTLIST = 50  # translations of each source piece
SINGLE = 50  # sentences that are translated one by one, at most


@dataclass(frozen=True)
class BenchSetting:
    """The search settings of one row."""

    beam: int
    precision: str
    shortlist: int  # 0: none

    def as_search(self) -> dict[str, Any]:
        """The settings of section `search` that are shown."""
        return {"beam": self.beam, "precision": self.precision, "shortlist": self.shortlist}

    def in_full(self) -> dict[str, Any]:
        """All settings of section `search`: the defaults but for these, whatever the run has."""
        return SearchConfig().model_dump() | self.as_search()


@dataclass
class BenchResult:
    """Measurements with one setting, a number for each repetition but for latencies."""

    setting: BenchSetting
    sentences_per_second: list[float] = field(default_factory=list)
    tokens_per_second: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)  # of all threads
    latencies: list[float] = field(default_factory=list)  # seconds, of every sentence alone
    peak_memory: int | None = None  # bytes

    def latency(self, percent: int) -> float:
        """A percentile of the latencies, in seconds."""
        return percentile(self.latencies, percent)

    def as_json(self) -> dict[str, Any]:
        return {
            **self.setting.as_search(),
            "sentences_per_second": _spread(self.sentences_per_second),
            "tokens_per_second": _spread(self.tokens_per_second),
            "processor_seconds": _spread(self.processor_seconds),
            "latency_ms": {f"p{each}": 1000 * self.latency(each) for each in (50, 95)},
            "peak_memory_bytes": self.peak_memory,
        }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def bench_sentences(run: RunDirectory, count: int) -> list[str]:
    """Validation sources of the run, spread over the set, some several times if there are fewer.

    They are those of its token store, or else those of its samples.
    """
    if store := run.trained_store():
        lines = store.valid_text("source")
    else:
        lines = [each.sample.source for each in run.read_samples()]
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise ConfigError(
            f"{run.path} has no sentences to translate: its token store is gone, and it has no "
            "samples",
            hint="put the token store back",
        )
    return [lines[index * len(lines) // count % len(lines)] for index in range(count)]


def bench_settings(
    run: RunDirectory, device: str, notify: Callable[[str], None]
) -> list[BenchSetting]:
    """Greedy and beam search in each precision of the device, with and without a shortlist."""
    precisions = ["float32"]
    if has_bfloat16_products(device):
        precisions.append("bfloat16")
    if device == "cpu" and has_int8_products():
        precisions.append("int8")
    shortlists = [0, SHORTLIST]
    try:
        lexical_table(run, notify)
    except ConfigError as error:
        notify(f"no shortlist: {error.message}")
        shortlists = [0]
    return [
        BenchSetting(beam, precision, shortlist)
        for beam in BEAMS
        for precision in precisions
        for shortlist in shortlists
    ]


def measure(
    load: Callable[[dict[str, Any]], Translator],
    settings: Sequence[BenchSetting],
    sentences: Sequence[str],
    *,
    repeats: int,
) -> Iterator[BenchResult]:
    """Measure every setting in turn, again and again; yields its result each time.

    load: a translator with these search settings
    """
    results = [BenchResult(setting) for setting in settings]
    for _ in range(repeats):
        for result in results:
            translator = load(result.setting.in_full())
            translator.translate(sentences[:8])  # packs the weights before anything is timed
            _measure_once(translator, sentences, result)
            yield result


def _measure_once(translator: Translator, sentences: Sequence[str], result: BenchResult) -> None:
    restart_peak()
    began, processor = time.perf_counter(), time.process_time()
    found = translator.translate(sentences)
    seconds = time.perf_counter() - began
    tokens = sum(len(each.candidates[0].pieces) for each in found if each.candidates)
    result.sentences_per_second.append(len(sentences) / seconds)
    result.tokens_per_second.append(tokens / seconds)
    result.processor_seconds.append(time.process_time() - processor)
    if (peak := peak_memory()) is not None:
        result.peak_memory = max(peak, result.peak_memory or 0)
    for sentence in sentences[:SINGLE]:
        began = time.perf_counter()
        translator.translate([sentence])
        result.latencies.append(time.perf_counter() - began)
