"""Lines that come slowly through a pipe are written before the next one comes."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli.runs.translation import Translation
from cli.runs.views import Selection
from cli.runs.word_links import Shift
from cli.terminal import alignments, pictures, translations, word_links
from data.corpus import SentencePair


class Model:
    has_attention = False

    def __init__(self, events):
        self.events = events

    def translate(self, lines, **_):
        self.events.append(f"translate {lines[0]}")
        return [Translation(line, (), truncated=False) for line in lines]


def aligned(model):
    yield from alignments.aligned_translations(model, Path("source"), None, head=None)


def drawn(model):
    run = pictures.ShownRun("", model, Selection())
    yield from pictures.pictures([run], Path("source"), None)


def linked(model):
    def links(pairs, shifts):
        return [{0: {(0, 0)}} for _ in model.translate([pairs[0].source])]

    direction = word_links.Direction(linker=SimpleNamespace(links=links), shift=Shift(0, ""))
    pairs = [SentencePair("a", "a"), SentencePair("b", "b")]
    word_links._write_links(iter(pairs), direction, direction, "union")
    yield from ()


def translated(model):
    yield from translations.translations_of(model, [["a"], ["b"]])


@pytest.mark.parametrize("work", [aligned, drawn, linked, translated])
def test_stdout_is_flushed_before_the_next_line_is_waited_for(work, monkeypatch):
    events: list[str] = []
    for module in (alignments, pictures, word_links):
        monkeypatch.setattr(module, "available_chunks", lambda lines: ([line] for line in lines))
        monkeypatch.setattr(module, "read_lines", lambda _: iter("ab"))
    monkeypatch.setattr(sys.stdout, "flush", lambda: events.append("flush"))
    for _ in work(Model(events)):
        pass
    assert [*dict.fromkeys(events[: events.index("flush")])] == ["translate a"]
    assert events[-1] == "flush" and events.count("flush") == 2
