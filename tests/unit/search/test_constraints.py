"""Worked examples of constraints on words, and on what goes on with a prefix."""

import pytest
import torch

from seq2seq.search.constraints import (
    BannedWords,
    Constraint,
    ForcedPrefix,
    ForcedText,
    Prefixes,
    Vocabulary,
    words_of,
)
from seq2seq.search.required import RequiredPhrases

BOS, EOS = 0, 1
PIECES = (" ein", " Hund", "e", " a-b", ".", "\u00e9", "b c")
SPELLINGS = [b"", b"", *(piece.encode() for piece in PIECES)]
IDS = torch.arange(1, len(SPELLINGS))


def following(constraint: Constraint, *written: str) -> set[str]:
    """The pieces that may follow these, and "</s>"."""
    ids = torch.tensor([[2 + PIECES.index(piece) for piece in written]], dtype=torch.int64)
    allowed = constraint.allowed(Prefixes(ids, torch.zeros(1, dtype=torch.int64)), IDS)
    names = ["</s>", *PIECES]
    return {*names} if allowed is None else {names[i] for i in allowed[0].nonzero().flatten()}


def test_words_are_runs_of_letters_digits_and_marks():
    assert words_of(" Ein_Hund, e\u0301t\u00e9-2x!") == ["Ein_Hund", "e\u0301t\u00e9", "2x"]


@pytest.mark.parametrize(
    ("banned", "written", "hidden"),
    [
        ({"Hund"}, (), {" Hund"}),
        ({"Hunde"}, (), set()),
        ({"Hunde"}, (" Hund",), {"e"}),
        ({"a"}, (), {" a-b"}),  # a word within a piece
        ({"b"}, (), {" a-b", "b c"}),  # and those at its ends
        ({"c"}, (" ein",), {"b c"}),
        ({"einb"}, (" ein",), {"b c"}),
        ({"ein"}, (" Hund", "."), {" ein"}),
    ],
)
def test_no_piece_ends_a_banned_word(banned, written, hidden):
    constraint = BannedWords(banned, SPELLINGS, EOS)
    assert following(constraint, *written) == {"</s>", *PIECES} - hidden


@pytest.mark.parametrize(
    ("known", "written", "free"),
    [
        ({"Hund"}, (), {" Hund"}),
        ({"Hunde"}, (), {" Hund"}),
        ({"Hunde"}, (" Hund",), {"e"}),  # the word is not complete
        ({"Hund", "Hunde"}, (" Hund",), {"e", " Hund", ".", "</s>"}),
        ({"b"}, (), set()),  # the word within " a-b" is not known
        ({"a", "b"}, (), {" a-b"}),
        ({"b", "c"}, (), {"b c"}),
    ],
)
def test_only_words_of_the_vocabulary_are_begun_and_ended(known, written, free):
    constraint = Vocabulary(known, SPELLINGS, EOS)
    always = set() if written else {".", "</s>"}
    assert following(constraint, *written) == free | always


def test_a_prefix_ends_where_its_text_does():
    constraint = ForcedPrefix([ForcedText((2,), b" Hu")], SPELLINGS, EOS)
    assert following(constraint) == {" ein"}
    assert following(constraint, " ein") == {" Hund"}
    assert following(constraint, " ein", " Hund") == {"</s>", *PIECES}
    assert following(ForcedPrefix([ForcedText((), b" ")], SPELLINGS, EOS)) == {
        "</s>", " ein", " Hund", " a-b"
    }  # fmt: skip


def test_a_prefix_may_be_long_and_spelt_byte_by_byte():
    spellings = [b"", b"", *(bytes([each]) for each in range(256))]
    text = "\u65e5".encode() * 700
    constraint = ForcedPrefix([ForcedText((), text)], spellings, EOS)
    start = Prefixes(torch.empty(1, 0, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    allowed = constraint.allowed(start, torch.arange(1, len(spellings)))
    assert allowed.nonzero().tolist() == [[0, 1 + text[0]]]


def test_required_ids_are_written_before_the_end_and_before_no_step_is_left():
    required = RequiredPhrases(((2, 3),), [5], SPELLINGS, EOS)  # " ein Hund"
    assert following(required) == {*PIECES}
    assert following(required, ".", ".") == {" ein"}  # two of them, and the end
    assert following(required, ".", ".", " ein") == {" Hund"}
    after = following(required, " ein", " Hund")
    assert after == {"</s>", " ein", " Hund", " a-b", "."}  # which do not go on with the word
