"""Ranks of a training in forked processes, which have imported everything already."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli.runs.joining import joined_ranks
from cli.runs.launching import rank_environments
from seq2seq.training.ranks import Ranks


def results_of_ranks(work: Callable[[Ranks], dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Run `work` on two connected ranks, each a forked process: its result or error, by rank."""
    children = []
    for rank, environment in enumerate(rank_environments(2)):
        child = os.fork()
        if child == 0:
            try:
                os.environ |= environment
                (folder / f"{rank}.json").write_text(json.dumps(_result(work)))
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def _result(work: Callable[[Ranks], dict[str, Any]]) -> dict[str, Any]:
    try:
        with joined_ranks() as ranks:
            return work(ranks)
    except Exception as error:
        inner = getattr(error, "error", error)
        return {"error": type(error).__name__, "of": type(inner).__name__, "message": str(inner)}
