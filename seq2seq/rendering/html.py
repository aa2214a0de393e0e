"""Tables of weights of many sentences as one HTML page, which loads nothing from elsewhere.

A content security policy in the page allows its own style and script, by their hashes, and nothing
else. The weights are unsigned 16-bit numbers in steps of 1/50,000, in base64; entropy and coverage
are those of the weights before they are rounded to these steps.
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from seq2seq.evaluation.alignment import (
    END_MARK,
    Alignment,
    coverage,
    display_labels,
    row_entropy,
)
from seq2seq.rendering.colours import DARK, GAMMA, LIGHT
from seq2seq.rendering.labels import printable
from seq2seq.rendering.panels import Panel, Sentence
from seq2seq.rendering.text import CAUTION
from seq2seq.system.visible import visible

_STEPS = 50_000  # of a weight from 0 to 1


def page(title: str, sentences: Sequence[Sentence], caution: str = CAUTION) -> str:
    """A whole HTML document. caution: against reading attention as word alignment"""
    found = files("seq2seq.rendering") / "page"
    style = (found / "page.css").read_text(encoding="utf-8")
    script = (found / "page.js").read_text(encoding="utf-8")
    data = {
        "ramps": {"light": LIGHT, "dark": DARK},
        "gamma": GAMMA,
        "sentences": [_sentence(each) for each in sentences],
    }
    parts = {
        "title": escape(visible(title)),
        "style": style,
        "style_hash": _hash(style),
        "script": script,
        "script_hash": _hash(script),
        "caution": escape(caution[0].upper() + caution[1:] + "."),
        "data": _embedded(data),
    }
    template = (found / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{([a-z_]+)\}", lambda match: parts[match[1]], template)


def _sentence(sentence: Sentence) -> dict[str, Any]:
    source = visible(sentence.source)
    return {
        "number": sentence.number,
        "source": source,
        "views": [_view(source, text, panel) for text, panel in sentence.panels],
    }


def _view(source: str, text: str, panel: Panel) -> dict[str, Any]:
    alignment = panel.alignment
    columns = [printable(label) for label in display_labels(alignment.source)]
    rows = [printable(label) for label in display_labels(alignment.target)]
    weights = np.clip(np.nan_to_num(alignment.weights, nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
    finite = Alignment(alignment.source, alignment.target, weights)
    steps = np.round(weights * _STEPS).astype("<u2")
    words = columns[: len(columns) - (columns[-1:] == [END_MARK])]
    return {
        "title": visible(panel.title),
        "text": visible(text),
        "note": panel.note,
        "probability": round(panel.probability or 0.0, 4),
        "rows": rows,
        "columns": columns,
        "inSource": " ".join(words) == " ".join(map(printable, source.split())),
        "entropy": row_entropy(finite).round(4).tolist(),
        "coverage": coverage(finite).round(4).tolist(),
        "weights": base64.b64encode(steps.tobytes()).decode("ascii"),
    }


def _embedded(data: Any) -> str:
    """JSON that cannot end the element that it stands in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
