"""`align --statistics`: a table for people, JSON for programs, the same of words and of pieces."""

import json

import pytest
from journey import train
from program import call


def statistics(*arguments):
    result = call("align", *arguments, "--statistics", "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


def test_the_table_has_what_the_json_has(run, corpus):
    report = statistics(run, *corpus.valid)
    assert report["schema_version"] == 1 and report["sentences"] == 40
    assert report["agreement"] is None
    doubts = [each["doubt"] for each in report["ranked"]]
    assert len(doubts) == 40 and doubts == sorted(doubts, reverse=True)
    assert sum(report["fertilities"]) == report["source_words"] - 40  # without the ends
    assert sum(report["jumps"].values()) == report["target_words"] - 2 * 40

    table = call("align", run, *corpus.valid, "--statistics")
    assert table.code == 0, table.err
    assert f"entropy             {report['entropy']:.2f} nats a target word" in table.out
    most = report["ranked"][0]
    (line,) = [line for line in table.lines if f"{most['source']} → " in line][:1]
    assert line.startswith(f"{most['line']:>6}  {most['confidence']:.3f}  ")


def test_pieces_and_shifts_are_measured_too(run, tmp_path):
    text = tmp_path / "text"
    text.write_text("quinces dog\n")
    words, pieces, shifted = (
        statistics(run, text, text, *options) for options in ([], ["--pieces"], ["--shift", 1])
    )
    assert pieces["source_words"] > words["source_words"] == 3
    assert shifted["coverage_deviation"] != words["coverage_deviation"]


def test_several_heads_agree_more_or_less(prepared, corpus, tmp_path):
    run = tmp_path / "run"
    trained = call(*train(prepared, run, "--set=model.heads=2", updates=10))
    assert trained.code == 0, trained.err
    assert 0 < statistics(run, *corpus.valid)["agreement"] < 1
    assert statistics(run, *corpus.valid, "--head", 1)["agreement"] is None


def test_blank_lines_are_left_out_and_nothing_else_is_refused(run, tmp_path):
    text = tmp_path / "text"
    text.write_text("\nred dog\n \n")
    assert [each["line"] for each in statistics(run, text)["ranked"]] == [2]
    text.write_text("\n \n")
    blank = call("align", run, text, "--statistics")
    assert (blank.code, blank.out) == (3, "") and "no line has words" in blank.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "pharaoh"], "--statistics measures attention, and --format pharaoh"),
        (["--threshold", 0.2], "--threshold is about links"),
        (["--gold", "TARGET"], "--gold is about links"),
        (["--head", "all"], "--head all is for drawings"),
    ],
)
def test_what_cannot_be_done_together_is_refused(options, said, run, corpus):
    values = [corpus.valid[1] if each == "TARGET" else each for each in options]
    result = call("align", run, *corpus.valid, "--statistics", *values)
    assert (result.code, result.out) == (2, "") and said in result.err, result.err
