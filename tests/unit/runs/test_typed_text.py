"""What the line editor passes on of text that was typed or pasted, and what is printed there."""

from types import SimpleNamespace

from cli.runs.translation import Translation
from cli.terminal.prompt.editor import _NextWords, _valid
from cli.terminal.prompt.session import Session
from seq2seq.rendering.labels import cell_width


def test_a_byte_that_is_not_utf8_is_replaced_wherever_text_is_used():
    asked = []
    session = SimpleNamespace(last=SimpleNamespace(source="ba"), continuation=asked.append)
    _NextWords(session).after("/prefix über \udcff")
    assert asked == ["über \N{REPLACEMENT CHARACTER}"]
    assert _valid("日 \udcfc") == "日 \N{REPLACEMENT CHARACTER}"


def test_translations_of_several_runs_stand_below_each_other_in_any_script():
    blank = Translation("犬", (), truncated=False)
    other = SimpleNamespace(translate=lambda lines, **options: [blank])
    session = Session(SimpleNamespace(name="日英"), compared={"run": other})
    labels = [label for label, _ in session._all(blank, "")]
    assert labels == ["日英  ", "run   "] and len({*map(cell_width, labels)}) == 1
