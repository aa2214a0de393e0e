"""Text that is unlike a model's training text: warnings, and figures in JSON, from the shell."""

import json

import pytest
from program import Terminal, call, call_main

from cli.app import main


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def plain(corpus):
    return corpus.valid[0].read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (lambda line: line.replace("e", "e@@ "), "subword pieces of BPE"),
        (lambda line: "▁" + line.replace(" ", " ▁"), "subword pieces of SentencePiece"),
        (lambda line: line.rstrip(" .") + " .", "look tokenised"),
        (lambda line: f"&quot;{line}&quot;", "escaped"),
        (lambda line: "кошка и собака", "unknown to the model, such as “кошка”"),
        (lambda line: line + " ба", "unknown to the model, such as “ба” in line 1"),
        (lambda line: " ".join([line] * 20), "40 sources of 40 are far longer"),
    ],
)
def test_a_text_unlike_the_training_is_warned_of_once(run, plain, tmp_path, change, warning):
    path = write(tmp_path / "text", map(change, plain))
    done = call("translate", run, path, "--beam", 1, "--set", "search.max_length_factor=1")
    (line,) = (line for line in done.err.splitlines() if warning in line)
    assert "text" in line
    assert len(done.out.splitlines()) == len(plain)


def test_text_like_the_training_has_no_warning(run, corpus):
    assert "warning" not in call("translate", run, corpus.valid[0], "--beam", 1).err


def test_evaluate_always_has_the_figures(run, corpus, plain, tmp_path):
    done = call("evaluate", run, *corpus.valid, "--beam", 1, "--json")
    usual = json.loads(done.out)["sources"]
    assert usual["unknown_share"] == 0
    assert usual["training"]["longest"] > 3
    assert "unknown" not in done.err
    foreign = write(tmp_path / "foreign", [f"{line} кошка" for line in plain])
    done = call("evaluate", run, foreign, corpus.valid[1], "--beam", 1, "--json")
    figures = json.loads(done.out)["sources"]
    assert figures["unknown_pieces"] == 10 * len(plain)
    assert figures["pieces"] >= usual["pieces"] + 10 * len(plain)
    assert f"{figures['unknown_pieces']:,} of {figures['pieces']:,} source pieces" in done.err


def test_the_prompt_says_it_of_each_sentence(run, plain):
    done = call("translate", run, "-i", stdin=f"{plain[0]}\n{plain[0]} кот\n".encode())
    assert done.err.count("unknown to the model") == 1
    assert "“кот”" in done.err


def test_a_long_line_is_cut_above_its_alignment_on_a_terminal_only(run, tmp_path):
    path = write(tmp_path / "long", ["the dog " * 20_000])
    options = ("--beam", 1, "--set", "search.max_source_pieces=9")
    assert "the dog " * 20_000 in call("align", run, path, *options).out
    shown = call_main(main, "align", run, path, *options, stdout=Terminal)
    assert "(160,000 characters, cut here)" in shown.out
    assert "the dog " * 200 not in shown.out
