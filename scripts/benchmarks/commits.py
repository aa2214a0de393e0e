"""What each commit did to the speed of search: the same run translates the same text with each.

One thread translates; its processor time counts, of several searches the least, so that other
programs on the machine hardly matter. Commits take turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import measurement

CHILD = Path(__file__).with_name("search_child.py")
PARTS = ("attention", "decoders", "kernels", "recurrent", "search", "encoder.py", "model.py")
SEARCHING = ("cli/runs/translator.py", *(f"seq2seq/{part}" for part in PARTS))
REPOSITORY = Path(__file__).parents[2]


@dataclass
class Commit:
    """A commit, its tree in a folder of its own, and what was measured with it."""

    sha: str
    subject: str
    tree: Path
    seconds: list[float] = field(default_factory=list)
    product_seconds: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    @property
    def product_share(self) -> float:
        """The share of the time of a search that its matrix products take."""
        return min(self.product_seconds) / min(self.seconds)

    def changed(self, other: Commit) -> int:
        """The number of lines that this commit and the other translate differently."""
        return sum(one != two for one, two in zip(self.texts, other.texts, strict=True))

    def score_difference(self, other: Commit) -> float:
        """The largest relative difference of two scores."""
        pairs = zip(self.scores, other.scores, strict=True)
        return max(abs(one - two) / max(abs(two), 1e-9) for one, two in pairs)

    def as_json(self) -> dict[str, Any]:
        return {
            "commit": self.sha,
            "subject": self.subject,
            "seconds": self.seconds,
            "product_seconds": self.product_seconds,
        }


def commits_of(revisions: Sequence[str], folder: Path) -> list[Commit]:
    """Each revision; of a range A..B, A and each commit after it that changed what searches."""
    shas: list[str] = []
    for revision in revisions:
        first, dots, last = revision.partition("..")
        shas.append(_git("rev-parse", "--short", first))
        if dots:
            between = f"{first}..{last or 'HEAD'}"
            listed = _git("rev-list", "--reverse", "--abbrev-commit", between, "--", *SEARCHING)
            shas += listed.split()
    return [_commit(sha, folder / sha) for sha in dict.fromkeys(shas)]


def _commit(sha: str, tree: Path) -> Commit:
    if not tree.exists():
        tree.mkdir(parents=True)
        archive = subprocess.run(
            ["git", "archive", sha], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE
        )
        subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
    return Commit(sha, _git("log", "-1", "--format=%s", sha), tree)


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


def measure_rounds(
    commits: Sequence[Commit], request: dict[str, Any], *, rounds: int
) -> Iterator[Commit]:
    """request: run, search settings, lines and repeats, for the process of each commit"""
    for number in range(1, rounds + 1):
        for commit in commits:
            done = subprocess.run(
                [sys.executable, "-I", str(CHILD), str(commit.tree)],
                input=json.dumps(request),
                stdout=subprocess.PIPE,
                check=True,
                text=True,
            )
            found = json.loads(done.stdout)
            commit.seconds.append(found["seconds"])
            commit.product_seconds.append(found["product_seconds"])
            commit.texts, commit.scores = found["texts"], found["scores"]
            speed = len(request["lines"]) / found["seconds"]
            measurement.say(f"round {number}: {commit.sha} {speed:.1f} sentences/s")
            yield commit
