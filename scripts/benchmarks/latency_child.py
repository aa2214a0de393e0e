"""Run a module as a program and time the calls of one function of it.

    PYTHON -m benchmarks.latency_child RESULT FUNCTION MODULE [ARGUMENTS...]

FUNCTION is a name such as `onmt.translate.translator:Translator.translate_batch`. RESULT becomes
a JSON list: the seconds of each call.
"""

from __future__ import annotations

import json
import runpy
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any


def main() -> None:
    result, function, module, *arguments = sys.argv[1:]
    seconds: list[float] = []
    time_calls(function, seconds)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        Path(result).write_text(json.dumps(seconds), encoding="utf-8")


def time_calls(name: str, seconds: list[float]) -> None:
    """Replace a function by one that also appends the seconds of each call."""
    module, _, path = name.partition(":")
    *owners, attribute = path.split(".")
    owner: Any = import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    function = getattr(owner, attribute)

    def timed(*given: Any, **named: Any) -> Any:
        began = time.perf_counter()
        found = function(*given, **named)
        seconds.append(time.perf_counter() - began)
        return found

    setattr(owner, attribute, timed)


if __name__ == "__main__":
    main()
