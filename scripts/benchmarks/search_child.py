"""One tree of the source searches a text: PYTHON -I search_child.py TREE < REQUEST > RESULT.

It imports `cli`, `data` and `seq2seq` of that tree alone, so it stands by itself.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

PRODUCTS = {
    *("linear", "matmul", "mm", "addmm", "bmm", "baddbmm", "_linear_pointwise"),
    *("qlinear_pointwise", "lstm", "gru", "mkldnn_rnn_layer"),
}
"""Names of torch's operations that are matrix products or, for the most part, consist of them."""


def main() -> None:
    request = json.load(sys.stdin)
    sys.path.insert(0, sys.argv[1])
    from cli.runs.translator import Translator

    translator = Translator.load(request["run"], search=request["search"], device="cpu", threads=1)
    lines = request["lines"]
    translator.translate(lines[:64])  # prepares the products
    taken, found = [], None
    for _ in range(request["repeats"]):
        began = time.thread_time()
        found = translator.translate(lines)
        taken.append(time.thread_time() - began)
    best = [each.candidates[0] if each.candidates else None for each in found or ()]
    result = {
        "seconds": min(taken),
        "product_seconds": _product_seconds(lambda: translator.translate(lines)),
        "texts": [each.text if each else "" for each in best],
        "scores": [each.score if each else 0.0 for each in best],
    }
    json.dump(result, sys.stdout)


def _product_seconds(search: Callable[[], Any]) -> float:
    """The processor time of the matrix products of one search."""
    from torch.utils._python_dispatch import TorchDispatchMode

    seconds = []

    class Timed(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func.overloadpacket.__name__ not in PRODUCTS:
                return func(*args, **(kwargs or {}))
            began = time.thread_time()
            result = func(*args, **(kwargs or {}))
            seconds.append(time.thread_time() - began)
            return result

    with Timed():  # type: ignore[no-untyped-call]
        search()
    return sum(seconds)


if __name__ == "__main__":
    main()
