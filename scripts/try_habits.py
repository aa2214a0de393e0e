"""What users do out of habit, as a table in Markdown: what this program says, and an earlier one.

    python scripts/try_habits.py [--before REVISION]

The lines and what is right are in tests/support/habits.py; tests/journeys/test_habits.py runs them
on every commit. Ctrl-C at the prompt needs a terminal and is in tests/journeys/test_prompt.py.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from habits import HABITS, Habit, Outcome, bash, furnish, perform, preparations  # noqa: E402

_WIDEST = 100  # characters of a message in the table


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--before", metavar="REVISION", help="an earlier revision to compare with")
    before = parser.parse_args(arguments).before
    columns: dict[str, list[tuple[Habit, Outcome]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        trees = {"now": ROOT}
        if before:
            trees = {before: Path(folder) / "tree"} | trees
            git = ["git", "-C", str(ROOT), "worktree"]
            subprocess.run([*git, "add", "-q", "--detach", str(trees[before]), before], check=True)
        try:
            for name, tree in trees.items():
                columns[name] = try_all(tree, Path(folder) / f"files of {name}")
        finally:
            if before:
                subprocess.run([*git, "remove", "--force", str(trees[before])], check=False)
    print_table(columns)
    return int(any(habit.fault(outcome) for habit, outcome in columns["now"]))


def try_all(tree: Path, folder: Path) -> list[tuple[Habit, Outcome]]:
    """Every habit, in a folder of its own, typed at the program of a tree."""
    folder.mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    environment |= {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    program = shlex.quote(str(Path(sys.executable).with_name("seq2seq")))

    def shell(line: str, where: Path) -> tuple[int | None, str]:
        return bash(line, where, program=program, environment=environment)

    files = folder / "files"
    files.mkdir()
    for command in preparations(furnish(files)):
        code, text = shell("seq2seq " + shlex.join(map(str, command)), files)
        assert code == 0, text
    outcomes = []
    for number, habit in enumerate(HABITS.values()):
        own = folder / str(number)
        subprocess.run(["cp", "-r", str(files), str(own)], check=True)
        outcomes.append((habit, perform(habit, own, shell)))
    return outcomes


def print_table(columns: dict[str, list[tuple[Habit, Outcome]]]) -> None:
    rows = [["tried", "line", *columns], ["---"] * (2 + len(columns))]
    for number, (name, habit) in enumerate(HABITS.items()):
        said = [summary(*outcomes[number]) for outcomes in columns.values()]
        rows.append([name, f"`{habit.line}`", *said])
    for row in rows:
        sys.stdout.write("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n")


def summary(habit: Habit, outcome: Outcome) -> str:
    """Whether it is right, the exit code and the line that says most."""
    fault = habit.fault(outcome)
    lines = [line.strip() for line in outcome.text.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("error:", "warning:", "! warning:"))]
    if "Traceback" in outcome.text:
        telling = [f"traceback: {lines[-1]}"]
    said = (telling or lines[-1:] or ["nothing"])[0]
    code = "does not end" if outcome.code is None else str(outcome.code)
    changed = f"; {habit.keeps} was replaced" if outcome.changed else ""
    return f"{'✗' if fault else '✓'} {code}: {said[:_WIDEST]}{changed}"


if __name__ == "__main__":
    sys.exit(main())
