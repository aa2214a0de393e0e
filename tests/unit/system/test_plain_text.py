import json
import subprocess

import pytest

from seq2seq.system.plain_text import SIGNS, other_case, scan, unescape

SENTENCES = [
    f"The {animal} of my neighbour, old and grey, isn't here; it sleeps until {hour} o'clock."
    for animal in ("dog", "cat", "horse", "parrot")
    for hour in range(5)
]
SEGMENTED = {
    "bpe-segmented": [
        line.replace("eigh", "eigh@@ ").replace("ck.", "ck@@ .") for line in SENTENCES
    ],
    "sentencepiece-segmented": [
        "▁" + line.replace(" ", " ▁").replace("eigh", "eigh ") for line in SENTENCES
    ],
    "wordpiece-segmented": [line.replace("eigh", "eigh ##") for line in SENTENCES],
}


def codes(lines):
    return [sign.code for sign, _ in scan(lines).found()]


@pytest.mark.parametrize("code", SEGMENTED)
def test_the_command_that_is_given_joins_pieces(code):
    lines = SEGMENTED[code]
    assert lines != SENTENCES and codes(lines) == [code]
    (sign,) = (sign for sign in SIGNS if sign.code == code)
    command = sign.undo.split("`")[1].removesuffix(" FILE > NEW")
    done = subprocess.run(
        command, shell=True, input="\n".join(lines) + "\n", capture_output=True, text=True
    )
    assert done.stdout.splitlines() == SENTENCES


@pytest.mark.parametrize(
    ("code", "enclose", "command"),
    [
        ("columns", lambda line: f"{line}\tune phrase", "cut -f1"),
        (
            "markup",
            lambda line: f'  <tuv xml:lang="en"><seg id="1">{line}</seg></tuv>',
            r"sed -nE 's/.*<seg[^>]*>(.*)<\/seg>.*/\1/p'",
        ),
    ],
)
def test_the_command_that_is_given_gets_the_text_out(code, enclose, command):
    lines = [enclose(line) for line in SENTENCES]
    assert codes(lines) == [code]
    (sign,) = (sign for sign in SIGNS if sign.code == code)
    assert f"`{command} FILE > NEW`" in sign.undo
    done = subprocess.run(
        command, shell=True, input="\n".join(lines) + "\n", capture_output=True, text=True
    )
    assert done.stdout.splitlines() == SENTENCES


def test_the_command_that_is_given_takes_numbers_of_lines_and_verses_away():
    (sign,) = (sign for sign in SIGNS if sign.code == "numbered")
    command = sign.undo.split("`")[1].removesuffix(" FILE > NEW")
    for begin in ("{} ", "{}. ", "Mt 1:{} ", "1 Cor {}:3 ", "  {}) ", "40001{:03}  "):
        lines = [begin.format(n) + line for n, line in enumerate(SENTENCES, start=1)]
        assert codes(lines) == ["numbered"], begin
        done = subprocess.run(
            command, shell=True, input="\n".join(lines) + "\n", capture_output=True, text=True
        )
        assert done.stdout.splitlines() == SENTENCES


def test_lines_of_json_are_found():
    lines = [json.dumps({"translation": {"en": line, "de": "ja"}}) for line in SENTENCES]
    assert codes(lines) == ["json"]
    assert codes(["[laughs] no [sighs]", "{name} is {age}", "a < b", "<3", "tab\tonce"] * 3) == []


@pytest.mark.parametrize(
    "line",
    [
        'I do n\'t know , he said , " yes "',
        "Two men are outside .",
        "二人 の 男 。",
        "we 're late",
        "they don 't",
        "a well @-@ known man",
    ],
)
def test_tokenised_text_is_found(line):
    assert codes([line] * 3 + ["plain text, as it should be."] * 20) == ["tokenised"]


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("it&apos;s", "it's"),
        ("&quot;yes&quot;", '"yes"'),
        ("it&#39;s &#x27;so&#x27;", "it's 'so'"),
        ("1 &amp;lt; 2", "1 < 2"),
        ("&amp;amp;amp;quot;", '"'),
        ("one&#10;two&NewLine;three", "one two three"),  # one line stays one line
        ("Donau&shy;dampfer", "Donau\u00addampfer"),
        ("\u0645\u06cc&zwnj;\u062e", "\u0645\u06cc\u200c\u062e"),
    ],
)
def test_escaped_text_is_found_and_unescaped(line, plain):
    assert codes([line] + ["plain"] * 99) == ["escaped"]
    assert unescape(line) == plain
    assert codes([plain]) == []


def test_text_that_is_escaped_again_and_again_takes_no_time():
    assert unescape("&" + "amp;" * 200_000).startswith("&amp;")


def test_the_command_that_is_given_unescapes():
    escaped = next(sign for sign in SIGNS if sign.code == "escaped")
    command = escaped.undo.split("`")[1].removesuffix(" < FILE > NEW")
    done = subprocess.run(
        command, shell=True, input=b"it&#39;s\n1 &amp;lt; 2\na&#10;b \rc\n", capture_output=True
    )
    assert done.stdout == b"it's\n1 < 2\na b c\n"  # as many lines


@pytest.mark.parametrize(
    "line",
    [
        "AT&T and R&D; a&b; &copyx; &unknown; &c.",
        "Qu'est-ce que c'est ? C'est vrai !",  # French
        "in 's-Hertogenbosch, 's avonds in 't huis, ik heb 't",  # Dutch
        "write to me@example.org, @@home or me; see ## 3 and C ## D",
        "It was .5 or 1,000 .NET, 'real' \"quotes\" and rock 'n' roll",
        "今日は良い天気です。「はい」、と言った。",
        "Βίβλος γενέσεως Ἰησοῦ χριστοῦ· υἱοῦ",
    ],
)
def test_plain_text_has_no_sign(line):
    assert codes([line]) == []
    assert unescape(line) == line


def test_a_few_slips_are_no_warning_and_blank_lines_do_not_count():
    slips = ["a slip , here ."] * 9
    assert codes(slips + ["plain text."] * 91) == []
    assert codes(slips + [""] * 1000 + ["plain text."] * 20) == ["tokenised"]


def test_examples_have_the_line_numbers_of_the_whole_text():
    found = scan(["plain"] * 3)
    found.add(["", "un@@ known"])
    ((sign, counted),) = found.found()
    assert counted.examples == [(5, "un@@ known")]
    assert found.describe(sign, "lines of x").startswith("1 of 4 lines of x (25.0 %) look like")


def test_a_side_in_one_case_is_found_only_beside_one_with_both():
    both = scan(SENTENCES)
    lower, upper = scan([s.lower() for s in SENTENCES]), scan([s.upper() for s in SENTENCES])
    assert other_case(lower, both) == "lower"
    assert other_case(upper, both) == "upper"
    assert other_case(both, lower) is None
    assert other_case(lower, lower) is None
    assert other_case(both, both) is None
    assert other_case(scan(["今日は"] * 50), both) is None  # a script without cases
    assert other_case(lower, scan(["今日は"] * 50)) is None
    assert other_case(scan(["lower"]), both) is None  # too few lines
