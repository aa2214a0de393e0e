"""Which shift follows from an order of attention, and which languages two directions have."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny import BAHDANAU, CONDITIONAL, LUONG, padded, tiny_config, tiny_model

from cli.runs.directory import RunDirectory
from cli.runs.translator import Translator
from cli.runs.views import Selection
from cli.runs.word_links import refuse_equal_direction, shift_of_order
from cli.terminal.word_links import LinkRequest, link_words
from seq2seq.errors import ConfigError

WITHOUT = {"readout_context": False}
FEEDBACK = {**WITHOUT, "input_feeding": True, "feedback": "context"}
UPPER = {**WITHOUT, "query_layer": "bottom", "context_to_upper": True}
CASES = [
    (LUONG[4], {}, 0),
    (LUONG[5], {}, 0),
    (BAHDANAU[3], {}, 0),
    (CONDITIONAL[2], {}, 0),
    (LUONG[4], FEEDBACK, -1),
    (BAHDANAU[3], WITHOUT, 0),
    (CONDITIONAL[2], WITHOUT, 0),
    (BAHDANAU[3], {**WITHOUT, "readout_state": "previous"}, -1),
    (BAHDANAU[3], {"readout_state": "previous"}, 0),
    (LUONG[4], {**UPPER, "layers": 2}, 0),
]


@pytest.mark.parametrize(("kind", "options", "rows"), CASES, ids=str)
def test_the_shift_is_the_step_whose_readout_first_depends_on_the_context(kind, options, rows):
    changes = {name: value for name, value in options.items() if name != "layers"}
    layers = options.get("layers", 1)
    assert shift_of_order(tiny_config(kind, layers=layers, **changes)).rows == rows

    model = tiny_model(kind, layers=layers, **changes)
    batch = padded([([5, 6, 7], [8, 9, 4, 6])])
    attend, calls = model.decoder.attention.attend, []

    def changed_at_step_1(*arguments, **named):
        context, weights = attend(*arguments, **named)
        if context.shape[-2] > 1:  # all steps in one call
            change = torch.zeros_like(context)
            change[..., 1, :] = 1.0
        else:
            change = torch.full_like(context, float(len(calls) == 1))
        calls.append(None)
        return context + change, weights

    with torch.no_grad():
        plain = model.unroll(batch).readouts
        model.decoder.attention.attend = changed_at_step_1
        changed = model.unroll(batch).readouts
    differs = [bool((plain[0, t] != changed[0, t]).any()) for t in range(4)]
    assert differs.index(True) == 1 - rows


def test_two_runs_have_to_translate_in_opposite_directions():
    refuse_equal_direction(("de", "en"), ("en", "de"))
    refuse_equal_direction(("de", None), ("de", "en"))  # not known
    for other in (("de", "en"), ("en", "fr")):
        with pytest.raises(ConfigError, match="not two directions"):
            refuse_equal_direction(("de", "en"), other)


class OneHead:
    heads, has_attention, has_lexicon = 1, True, False
    device, run_config = "cpu", None
    require_attention, require_lexicon = Translator.require_attention, Translator.require_lexicon


class WithLexicon(OneHead):
    has_lexicon = True


@pytest.mark.parametrize(
    ("selection", "problem"),
    [
        (Selection(2), "no head 2: this model has 1 att"),
        (Selection(weights="posterior"), "no lexicon"),
    ],
    ids=str,
)
def test_the_other_direction_needs_the_head_and_the_lexicon_too(monkeypatch, selection, problem):
    asked = LinkRequest(
        shift=0, threshold=None, selection=selection, with_reverse=Path("reverse"),
        symmetrization="union", reference=None, reference_base=None, statistics=False,
        as_json=False,
    )  # fmt: skip
    monkeypatch.setattr(Translator, "load", lambda *_, **__: OneHead())
    monkeypatch.setattr(RunDirectory, "open", lambda _: SimpleNamespace(languages=(None, None)))
    with pytest.raises(ConfigError, match=f"^reverse: .*{problem}"):
        link_words(asked, WithLexicon(), Path("run"), Path("source"), None)
