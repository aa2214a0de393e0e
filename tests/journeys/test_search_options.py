"""Options of `translate` and `evaluate` that change the search or choose the weights."""

from pathlib import Path
from unittest import mock

import pytest
from program import call

from cli.runs.translator import Translator
from seq2seq.errors import ConfigError

SHARED = [
    (("--beam", 3), {"beam": 3}),
    (("--mbr", 7), {"mbr": 7}),
    (("--shortlist", 5), {"shortlist": 5}),
]
OF_TRANSLATE = [
    (("--no-repeat-ngram", 2), {"no_repeat_ngram": 2}),
    (("--min-length", 4), {"min_length": 4}),
    (("--coverage-penalty", 0.2), {"coverage_penalty": 0.2}),
    (
        ("--sample", "--temperature", 0.5, "--top-k", 9, "--top-p", 0.75, "--seed", 4),
        {"sample": True, "temperature": 0.5, "top_k": 9, "top_p": 0.75, "seed": 4},
    ),
]


@pytest.mark.parametrize(
    ("command", "options", "expected"),
    [
        *(("translate", *each) for each in SHARED + OF_TRANSLATE),
        *(("evaluate", *each) for each in SHARED),
    ],
    ids=lambda each: str(each[0] if isinstance(each, tuple) else each)[:20],
)
def test_an_option_is_the_setting_of_its_name(run, corpus, command, options, expected):
    files = corpus.valid if command == "evaluate" else corpus.valid[:1]
    others = ("--checkpoint", "last", "--with", "a", "--rescore-with", "b")
    seen = ConfigError("seen", hint="nothing")
    with mock.patch.object(Translator, "load", side_effect=seen) as load:
        assert "seen" in call(command, run, *files, *options, *others).err
    found = load.call_args.kwargs
    assert found["search"] == expected and found["checkpoint"] == "last"
    assert ([*found["with_"]], found["rescore_with"]) == ([Path("a")], Path("b"))
