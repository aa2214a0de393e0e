"""The trials of docs/trials.md that take too long for every commit.

    python scripts/trials.py [--kills 100] [--seed 1]

Kills a tiny training 100 times, and one with all settings that keep state as often
(scripts/torture.py); kills the ranks of a training by two (scripts/torture_ranks.py); then gives
more than 20,000 unusual inputs to all readers and drawings. The exit code is 1 if anything failed.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TORTURE = [sys.executable, "scripts/torture.py"]
FUZZ = [
    *(sys.executable, "-m", "pytest", "-q", "--hypothesis-show-statistics"),
    *("tests/laws/test_reader_laws.py", "tests/laws/test_rendering_laws.py"),
]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="of each training")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills")
    chosen = parser.parse_args(arguments)
    kills = [f"--kills={chosen.kills}", f"--seed={chosen.seed}"]
    ranks = [f"--kills={max(1, chosen.kills // 10)}", f"--seed={chosen.seed}", "--fancy"]
    outcomes = [
        run_trial("kills, a plain training", [*TORTURE, *kills]),
        run_trial("kills, all settings that keep state", [*TORTURE, *kills, "--fancy"]),
        run_trial("kills of ranks", [sys.executable, "scripts/torture_ranks.py", *ranks]),
        run_trial("unusual inputs", FUZZ, HYPOTHESIS_PROFILE="thorough"),
    ]
    return 0 if all(outcomes) else 1


def run_trial(what: str, command: Sequence[str], **variables: str) -> bool:
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | variables, text=True, capture_output=True, check=False
    )
    inputs = sum(map(int, re.findall(r"(\d+) passing,", done.stdout)))
    summary = f"{inputs:,} inputs" if inputs else done.stdout.strip()
    verdict = "held" if done.returncode == 0 else f"FAILED ({done.returncode})"
    sys.stdout.write(f"{what}: {verdict}, {time.monotonic() - began:.0f} s\n{summary}\n\n")
    if done.returncode:
        sys.stdout.write(done.stdout + done.stderr)
    sys.stdout.flush()
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
