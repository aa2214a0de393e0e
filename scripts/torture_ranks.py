"""Kills and stops random ranks of a tiny training; it must end as if nothing had happened.

    python scripts/torture_ranks.py --kills 10 [--stops 1] [--ranks 2] [--fancy] [--seed 1]

A training by one process and one by several must have the same losses, to rounding. Then random
ranks of the latter are killed with SIGKILL, at random moments from start-up to the end, and the
training is continued with `--resume`. Each time the other ranks must end by themselves, with exit
code 6. Files must equal, byte for byte, those of a training by as many ranks that was never killed.
A rank that is stopped with SIGSTOP must end the training within `training.rank_timeout` and the
time to find out which rank it is.

The exit code is 1 if anything of this does not hold.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from torture import FANCY, PLAIN, Attempt, prepare_store, results_of, warm_up

from cli.runs import joining
from cli.runs.joining import ANSWER_SECONDS
from cli.runs.launching import LOST_RANK, rank_environments

TIMEOUT = 2  # seconds of training.rank_timeout where a rank is stopped
COMPARED = 30  # updates whose losses are compared with those of one process
SAME_LOSS = 1e-5  # per token; rounding grows from 1e-7 with every update
JOINING = 30  # seconds in which all ranks must have started
CONNECTED = 20  # seconds of training.rank_timeout where a rank is killed
LONGEST = 60.0  # seconds in which ranks must end: longer than both together


class RankAttempt:
    """The program as several ranks, each in a forked process."""

    def __init__(self, arguments: Sequence[object], log: Path, ranks: int) -> None:
        self.ranks = [
            Attempt(arguments, log, environment) for environment in rank_environments(ranks)
        ]

    def run_for(self, seconds: float) -> bool:
        """Let it run; whether it still runs afterwards."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if None not in self.codes():
                return False
            time.sleep(min(left, 0.01))
        return None in self.codes()

    def codes(self) -> list[int | None]:
        return [rank.exit_code() for rank in self.ranks]

    def end(self) -> list[int | None]:
        """The exit code of each rank, None for one that did not end by itself and was killed."""
        self.run_for(LONGEST)
        codes = self.codes()
        for rank, code in zip(self.ranks, codes, strict=True):
            if code is None:
                rank.kill()
        return codes


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--stops", type=int, default=1)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--updates", type=int, default=120)
    parser.add_argument("--fancy", action="store_true", help="with all settings that keep state")
    parser.add_argument("--seed", type=int, default=1, help="of the moments and the ranks")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="torture-ranks-"))
    warm_up()
    joining.JOIN_SECONDS = JOINING  # one that is killed before it has joined is waited for so long
    try:
        problems = torture(folder, arguments)
    finally:
        shutil.rmtree(folder)
    print("\n".join(problems) or "all trainings ended as they should")
    sys.exit(1 if problems else 0)


def torture(folder: Path, arguments: argparse.Namespace) -> list[str]:
    """Kill and stop ranks, and return a line for everything that did not happen as it should."""
    rng, began = random.Random(f"torture ranks:{arguments.seed}"), time.monotonic()
    store, log = prepare_store(folder), folder / "log"
    settings = PLAIN | (FANCY if arguments.fancy else {}) | {"training.updates": arguments.updates}
    options = ["--recipe", "tiny", "--threads", "1", "--device", "cpu"]
    options += [f"--set={name}={value}" for name, value in settings.items()]
    options += ["--set=training.precision=float32", f"--set=training.rank_timeout={CONNECTED}"]
    alone, reference = folder / "alone", folder / "reference"

    def start(run: Path, ranks: int = arguments.ranks, *extra: str) -> RankAttempt:
        rest = ["--resume", *options[2:6]] if (run / "config.toml").exists() else options
        return RankAttempt(["train", store, run, *rest, *extra], log, ranks)

    problems = []
    if any(start(alone, 1).end()):
        return ["the training by one process failed:", log.read_text(errors="replace")[-3000:]]
    started = time.monotonic()
    if any(start(reference).end()):
        return ["the training that is left alone failed:", log.read_text(errors="replace")[-3000:]]
    whole = time.monotonic() - started
    difference = loss_difference(alone, reference)
    if difference > SAME_LOSS:
        problems.append(f"the losses of one process and of ranks differ by {difference:.1e}")
    kills = attempts = trainings = 0
    while kills < arguments.kills or not trainings:
        trainings += 1
        run = folder / f"run-{trainings}"
        while True:
            attempt, attempts = start(run), attempts + 1
            victim = rng.randrange(arguments.ranks)
            if kills < arguments.kills and attempt.run_for(rng.uniform(0.1, 0.9) * whole):
                attempt.ranks[victim].kill()
                kills += 1
                codes = attempt.end()
                if {*codes} - {LOST_RANK, 0, -signal.SIGKILL}:
                    problems.append(f"rank {victim} was killed, and exit codes were {codes}")
            elif any(codes := attempt.end()):
                output = log.read_text(errors="replace")[-3000:]
                return [*problems, f"exit codes were {codes}:", output]
            else:
                break
        expected, found = results_of(reference), results_of(run)
        problems += [
            f"{run}: {name} differs"
            for name in sorted(expected | found)
            if expected.get(name) != found.get(name)
        ]
    for number in range(arguments.stops):

        def start_another(trial: int, number: int = number) -> RankAttempt:
            run = folder / f"stopped-{number}-{trial}"
            return start(run, arguments.ranks, f"--set=training.rank_timeout={TIMEOUT}")

        problems += stop_rank(start_another, rng, whole)
    print(
        f"{kills} kills, {trainings} trainings in {attempts} attempts, {arguments.stops} stops, "
        f"losses within {difference:.1e} of one process, {time.monotonic() - began:.0f} s"
    )
    return problems


def stop_rank(start: Callable[[int], RankAttempt], rng: random.Random, whole: float) -> list[str]:
    """Stop a random rank in the middle; returns a line if the others did not end as they should.

    Another training is begun, and stopped earlier, where one ended before that.
    """
    for trial in range(5):
        attempt = start(trial)
        attempt.run_for(0.6 * whole / 2**trial)
        if {*attempt.codes()} == {None}:
            break
        attempt.end()
    else:
        return ["no training ran for long enough to be stopped"]
    victim = rng.randrange(len(attempt.ranks))
    os.kill(attempt.ranks[victim].pid, signal.SIGSTOP)
    until = time.monotonic() + TIMEOUT + 3 * ANSWER_SECONDS
    others = [rank for number, rank in enumerate(attempt.ranks) if number != victim]
    while time.monotonic() < until and None in [rank.exit_code() for rank in others]:
        time.sleep(0.02)
    codes = [rank.exit_code() for rank in others]
    for rank in attempt.ranks:
        if rank.exit_code() is None:
            rank.kill()
    if {*codes} == {LOST_RANK}:
        return []
    return [f"rank {victim} was stopped, and the others had the exit codes {codes} in time"]


def loss_difference(first: Path, second: Path) -> float:
    """The largest difference of the objective between two runs, over the first updates.

    Later, scores that rounding has changed may change the learning rate or end a training.
    """
    ours, theirs = (
        [
            json.loads(line)["smoothed_nats_per_token"]
            for line in (run / "metrics.jsonl").read_text().splitlines()
            if "smoothed_nats_per_token" in line
        ]
        for run in (first, second)
    )
    pairs = zip(ours[:COMPARED], theirs[:COMPARED], strict=True)
    return float(max(abs(a - b) for a, b in pairs))


if __name__ == "__main__":
    main()
