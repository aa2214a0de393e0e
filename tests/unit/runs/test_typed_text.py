"""What the line editor passes on of text that was typed or pasted."""

from types import SimpleNamespace

from cli.terminal.prompt.editor import _NextWords, _valid


def test_a_byte_that_is_not_utf8_is_replaced_wherever_text_is_used():
    asked = []
    session = SimpleNamespace(last=SimpleNamespace(source="ba"), continuation=asked.append)
    _NextWords(session).after("/prefix über \udcff")
    assert asked == ["über \N{REPLACEMENT CHARACTER}"]
    assert _valid("日 \udcfc") == "日 \N{REPLACEMENT CHARACTER}"
