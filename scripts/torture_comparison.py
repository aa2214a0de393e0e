"""A comparison that is killed again and again must end with the table of one that was not.

    python scripts/torture_comparison.py --kills 10

Two systems with two seeds each, tiny, on emoji names. SIGKILL goes to the main process at random
moments, from its start to its end; its trials end with it. Scores, perplexities and the hashes of
the models must be equal in the end; times and memory are left out. A kill counts if the comparison
was not yet finished.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from installed import run_program

SETTINGS = (
    "model.embedding_size=32", "model.encoder_size=16", "model.decoder_size=32",
    "training.validate_every=20", "training.precision=float32", "training.samples=0",
)  # fmt: skip
TIMED = ("seconds", "peak_memory", "translation_seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--longest", type=float, default=20.0, help="seconds before a kill")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        run_program(*command(folder, "whole", arguments.updates))
        kills = kill_until_done(folder, arguments)
        if outcomes(folder / "killed") != outcomes(folder / "whole"):
            sys.exit("the tables differ")
    print(f"killed {kills} times: the same table")


def prepare(folder: Path) -> None:
    corpus = folder / "corpus"
    languages = ("--source-language", "en", "--target-language", "de")
    run_program("corpus", "get", "emoji", str(corpus), *languages)
    text = [str(corpus / f"train.{language}") for language in ("en", "de")]
    valid = ["--valid-source", f"{corpus}/valid.en", "--valid-target", f"{corpus}/valid.de"]
    run_program("preprocess", *text, str(folder / "store"), *valid)


def command(folder: Path, out: str, updates: int) -> list[str]:
    sets = [f"--set={setting}" for setting in SETTINGS]
    limits = ["--updates", str(updates), "--seeds", "2", "--jobs", "2", "--threads", "1"]
    store, path = str(folder / "store"), str(folder / out)
    return ["compare", store, path, "--attention", "none,luong", *limits, *sets]


def kill_until_done(folder: Path, arguments: argparse.Namespace) -> int:
    """Kill so many times, then let the comparison come to its end; returns the kills that hit."""
    rng, hits = random.Random(arguments.seed), 0
    program = str(Path(sys.executable).with_name("seq2seq"))
    line = [program, *command(folder, "killed", arguments.updates)]
    for _ in range(arguments.kills):
        process = subprocess.Popen(line, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.5, arguments.longest))
        hits += process.poll() is None
        process.kill()
        process.wait()
        time.sleep(0.5)  # its trials notice
        done = len([*(folder / "killed" / "results").glob("*.json")])
        print(f"killed; {done} of 4 trials done", file=sys.stderr, flush=True)
    run_program(*command(folder, "killed", arguments.updates))
    return hits


def outcomes(out: Path) -> dict[str, Any]:
    """The results of all trials, without what differs whenever a trial is repeated."""
    shown = json.loads(run_program("compare", str(out), "--show", "--json", "--no-significance"))
    trials = {name: t for system in shown["systems"] for name, t in system["trials"].items()}
    assert len(trials) == 4, trials.keys()
    return {
        name: {key: value for key, value in trial.items() if key not in TIMED}
        for name, trial in trials.items()
    }


if __name__ == "__main__":
    main()
