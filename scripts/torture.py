"""Kills a tiny training again and again, and compares its files with an uninterrupted one's.

    python scripts/torture.py --kills 100 [--fancy] [--seed 1] [--folder DIR]

Every attempt is the program's own `train`, in a process forked from this one, which has imported
torch already and started no thread; it is killed with SIGKILL and continued with `--resume`. Half
of the moments are drawn from the whole time of an attempt, the others from its short phases:
start-up, update, validation, save and, with --fancy, averaging. A training that ends is compared
and another one started, until there were enough kills.

Weights, optimizer state, metrics.jsonl and samples.jsonl must equal those of a training that was
never killed, byte for byte. The exit code is 1 if they do not.
"""

import argparse
import hashlib
import mmap
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # a process that has threads must not be forked

TRAINING_IMPORTS = (
    "cli.runs.summary", "cli.runs.training", "cli.terminal.live", "data.batching",
    "data.preparation.pipeline", "rich.console", "sacrebleu", "sentencepiece",
    "seq2seq.checkpoints.folder", "seq2seq.evaluation.quality", "seq2seq.search.translation",
)  # fmt: skip
PHASES = ("start-up", "update", "validation", "save", "averaging", "the end")
PLAIN = {
    "training.validate_every": 8,
    "training.log_every": 1,
    "training.batch_tokens": 120,
    "training.validation_sentences": 12,
    "training.patience": 0,
    "training.learning_rate": 0.01,
    "training.warmup": 10,
    "model.embedding_size": 16,
    "model.encoder_size": 8,
    "model.decoder_size": 16,
    "model.attention_size": 8,
}
FANCY = {
    "training.decay": "plateau",
    "training.plateau_patience": 2,
    "training.plateau_times": 50,
    "training.ema": 0.9,
    "training.keep_best": 3,
    "training.keep_last": 3,
    "training.average": "best",
    "training.accumulate": 2,
    "training.source_subword_sampling": 0.1,
    "training.target_subword_sampling": 0.1,
    "training.scheduled_sampling": 0.2,
    "training.metric": "chrf",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--updates", type=int, default=120, help="of a training")
    parser.add_argument("--fancy", action="store_true", help="with all settings that keep state")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments")
    parser.add_argument("--folder", type=Path, help="keep everything here, a new folder")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="torture-"))
    folder.mkdir(parents=True, exist_ok=True)
    warm_up()
    try:
        same = torture(folder, arguments)
    finally:
        if not arguments.folder:
            shutil.rmtree(folder)
    sys.exit(0 if same else 1)


def warm_up() -> None:
    """Import everything that a training imports, so that an attempt only has to fork."""
    import torch

    for module in TRAINING_IMPORTS:
        import_module(module)
    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # the first one imports a compiler
    assert threading.active_count() == 1


def torture(folder: Path, arguments: argparse.Namespace) -> bool:
    """Whether every training that was killed ended like the one that was not."""
    kills, fancy = arguments.kills, arguments.fancy
    rng, began = random.Random(f"torture:{arguments.seed}"), time.monotonic()
    store = prepare_store(folder)
    settings = PLAIN | (FANCY if fancy else {}) | {"training.updates": arguments.updates}
    options = ["--recipe", "tiny", "--threads", "1", "--device", "cpu"]
    options += [f"--set={name}={value}" for name, value in settings.items()]
    reference = folder / "reference"
    started = time.monotonic()
    finish(Attempt(["train", store, reference, *options], folder / "reference.log"))
    whole = time.monotonic() - started
    expected, kills_in = results_of(reference), Counter[str]()
    attempts, trainings, different = 0, 0, []
    while sum(kills_in.values()) < kills or not trainings:
        trainings += 1
        run, log = folder / f"run-{trainings}", folder / f"run-{trainings}.log"
        while True:
            again = (run / "config.toml").exists()
            rest = ["--resume", "--threads", "1", "--device", "cpu"] if again else options
            attempt = Attempt(["train", store, run, *rest], log)
            attempts += 1
            if sum(kills_in.values()) < kills and (phase := kill(attempt, rng, whole, fancy=fancy)):
                kills_in[phase] += 1
                continue
            finish(attempt)
            break
        found = results_of(run)
        wrong = sorted(n for n in expected | found if expected.get(n) != found.get(n))
        different += [f"{run}: {name} differs" for name in wrong]
        if not wrong:
            shutil.rmtree(run)
    report(kills_in, attempts, trainings, time.monotonic() - began)
    print(
        "\n".join(different)
        or "every training ended with the same bytes as one that was never killed"
    )
    return not different


class Attempt:
    """The program in a forked process, which reports its phase in one shared byte."""

    def __init__(
        self, arguments: Sequence[object], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """environment: variables that are set beside those of this process"""
        self._phase = mmap.mmap(-1, 1)
        self._log = log
        self._code: int | None = None
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.environ |= environment or {}
            os._exit(self._run(list(map(str, arguments))))

    @property
    def phase(self) -> str:
        return PHASES[self._phase[0]]

    def exit_code(self) -> int | None:
        """The exit code, or None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        self._code = os.waitstatus_to_exitcode(status)

    def _run(self, arguments: list[str]) -> int:
        from cli.app import main as program

        with self._log.open("ab", buffering=0) as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        sys.argv = ["seq2seq", *arguments]
        self._report_phases()
        try:
            program()
        except SystemExit as error:
            return error.code if isinstance(error.code, int) else 1
        except BaseException:
            return 70
        return 71

    def _report_phases(self) -> None:
        """Wrap functions so that they write their phase to the shared byte."""
        from cli.runs import summary
        from cli.runs.progress import PlainReporter
        from cli.runs.recorder import Recorder
        from cli.runs.validation import Validator

        for owner, name, phase in (
            (Validator, "measure", "validation"),
            (Recorder, "save", "save"),
            (Recorder, "average", "averaging"),
            (summary, "write_report", "the end"),
        ):
            setattr(owner, name, self._in_phase(getattr(owner, name), phase))
        start = PlainReporter.start

        def started(reporter: Any, *arguments: Any) -> None:
            start(reporter, *arguments)
            self._phase[0] = PHASES.index("update")

        PlainReporter.start = started  # type: ignore[assignment, method-assign]

    def _in_phase(self, call: Callable[..., Any], phase: str) -> Callable[..., Any]:
        def call_in_phase(*arguments: Any, **named: Any) -> Any:
            before = self._phase[0]
            self._phase[0] = max(PHASES.index(phase), before)  # averaging validates too
            try:
                return call(*arguments, **named)
            finally:
                self._phase[0] = before

        return call_in_phase


def kill(attempt: Attempt, rng: random.Random, whole: float, *, fancy: bool) -> str | None:
    """Kill at a random moment; returns the phase, or None if the attempt had ended before."""
    began, wanted = time.monotonic(), None
    if rng.random() < 0.5:
        moment = began + rng.uniform(0, whole / 2)
    else:
        wanted = rng.choice(PHASES[: len(PHASES) if fancy else 4])
        moment = began + rng.uniform(0, whole / 3)  # from then on, as soon as it is in that phase
    while attempt.exit_code() is None:
        now = time.monotonic()
        if wanted and (attempt.phase == wanted or (wanted == "start-up" and now > moment)):
            late = {"averaging": 0.03, "start-up": 0.05}.get(wanted, 0.004)
            if now > moment or wanted in ("averaging", "the end", "start-up"):
                wanted, moment = None, now + rng.uniform(0, late)
        elif not wanted and now >= moment:
            phase = attempt.phase
            attempt.kill()
            return phase
        else:
            time.sleep(0.0005)
    return None


def finish(attempt: Attempt) -> None:
    while (code := attempt.exit_code()) is None:
        time.sleep(0.002)
    if code:
        sys.stderr.write(attempt._log.read_text(errors="replace")[-3000:])
        raise SystemExit(f"an attempt ended with {code}, see {attempt._log}")


def prepare_store(folder: Path) -> Path:
    """A token store of sentences and the same sentences with every word reversed."""
    rng = random.Random("corpus")
    words = [
        "red",
        "green",
        "dog",
        "cat",
        "bird",
        "sees",
        "finds",
        "the",
        "a",
        "small",
        "big",
        "house",
    ]
    for name, count in (("train", 400), ("valid", 24)):
        lines = [" ".join(rng.choices(words, k=rng.randint(2, 6))) for _ in range(count)]
        (folder / f"{name}.en").write_text("".join(f"{line}\n" for line in lines))
        reversed_words = (" ".join(word[::-1] for word in line.split()) for line in lines)
        (folder / f"{name}.xx").write_text("".join(f"{line}\n" for line in reversed_words))
    text = [folder / name for name in ("train.en", "train.xx", "store")]
    valid = ["--valid-source", folder / "valid.en", "--valid-target", folder / "valid.xx"]
    attempt = Attempt(
        ["preprocess", *text, *valid, "--vocabulary-size", 350, "--threads", 1],
        folder / "store.log",
    )
    finish(attempt)
    return folder / "store"


def results_of(run: Path) -> dict[str, str]:
    """Hashes of the files that must not depend on kills."""
    found = {}
    for name in ("last", "best"):
        checkpoint = run / "checkpoints" / (run / "checkpoints" / name).read_text().strip()
        for path in checkpoint.glob("*.safetensors"):
            found[f"{name}/{path.name}"] = sha256(path)
    averaged = run / "checkpoints" / "averaged" / "model.safetensors"
    for path in (averaged, run / "metrics.jsonl", run / "samples.jsonl"):
        if path.exists():
            found[path.name if path != averaged else "averaged"] = sha256(path)
    return found


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def report(kills_in: Counter[str], attempts: int, trainings: int, seconds: float) -> None:
    kills = sum(kills_in.values())
    print(f"{'kills':<12}{kills:>6}")
    for phase in PHASES:
        print(f"  {phase:<10}{kills_in[phase]:>6}")
    print(f"{'resumes':<12}{attempts - trainings:>6}")
    print(f"{'trainings':<12}{trainings:>6}")
    print(f"{'seconds':<12}{seconds:>6.0f}   ({60 * kills / seconds:.0f} kills a minute)")


if __name__ == "__main__":
    main()
