"""How long a user waits for one sentence: each system translates sentences one by one.

Ours is given a line on its standard input and timed until its translation is on its standard
output. Of a peer, which reads its whole input before it begins, only the search is timed: the
function that translates a batch, here of one sentence, without cutting and joining of pieces.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from benchmarks import machine, measurement, ours
from benchmarks.decoding import Trained, peer_arguments, run_of, seconds_of
from benchmarks.job import Search
from data.tokenization import Tokenizer

SYSTEMS = ("opennmt", "joey")
"""The peers with a function whose calls can be timed."""


@dataclass(frozen=True)
class Latencies:
    """What one system took for each sentence, in one round."""

    system: str
    round: int
    seconds: tuple[float, ...]
    load: float  # load average of the minute before


def sentences_of(lines: Sequence[str], *, words: int, count: int) -> list[str]:
    """The first `count` lines of so many words."""
    return [line for line in lines if len(line.split()) == words][:count]


def measure_rounds(
    systems: Sequence[Trained],
    sentences: Sequence[str],
    tokenizer: Tokenizer,
    *,
    beam: int,
    rounds: int,
    folder: Path,
) -> Iterator[Latencies]:
    """Every system in turn, A B C A B C ...; the first sentence of each process is not counted."""
    pieces = [" ".join(tokenizer.pieces(tokenizer.encode(line))) for line in sentences]
    source = folder / "sentences.pieces"
    source.write_text("".join(f"{line}\n" for line in (pieces[0], *pieces)), encoding="utf-8")
    search = Search(beam=beam, batch_sentences=1)
    for number in range(1, rounds + 1):
        for system in systems:
            load = machine.load_average()
            if system.is_ours:
                seconds = _ours(system, search, sentences)
            else:
                seconds = _peer(system, search, source, folder)
            measurement.say(
                f"round {number}: {system.name} {1000 * sum(seconds) / len(seconds):.0f} ms"
            )
            yield Latencies(system.name, number, tuple(seconds), load)


def _ours(system: Trained, search: Search, sentences: Sequence[str]) -> list[float]:
    """Seconds from a line in to a line out, through pipes. Raises TrainingError."""
    job = system.job
    log = job.folder / "latency.log"
    words = ours.search_command(job, run_of(job), Path("-"), search, system.options)
    seconds = []
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            env=measurement.child_environment(job.threads, ours=True),
        ) as process,
    ):
        assert process.stdin is not None and process.stdout is not None
        for line in (sentences[0], *sentences):
            began = time.perf_counter()
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            if not process.stdout.readline():
                break
            seconds.append(time.perf_counter() - began)
        process.stdin.close()
    if process.returncode or len(seconds) <= len(sentences):
        raise measurement.TrainingError.from_log(job.system, process.returncode, log)
    return seconds[1:]


def _peer(system: Trained, search: Search, source: Path, folder: Path) -> list[float]:
    """Seconds of each call of its function that translates a batch. Raises TrainingError."""
    output, result = folder / "translations", folder / "latencies.json"
    option, program, *arguments = peer_arguments(system, search, source, output)
    function = import_module(f"benchmarks.{system.job.system}").SEARCH
    child = [option, "benchmarks.latency_child", str(result), function, program, *arguments]
    seconds_of(system, [str(system.python), *child], source, output)
    seconds: list[float] = json.loads(result.read_text(encoding="utf-8"))
    return seconds[1:]
