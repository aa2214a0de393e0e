"""`align`: links of two directions, shifts, and the error rate against the links of people."""

import json

import numpy as np
import pytest
from journey import train
from program import call

from seq2seq.evaluation.alignment import parse_pharaoh
from seq2seq.evaluation.alignment_archive import read_archive
from seq2seq.evaluation.link_quality import alignment_error_rate


@pytest.fixture(scope="module")
def reference(corpus, tmp_path_factory):
    """The n-th word of a source is the n-th of its target; every third link is a possible one."""
    path = tmp_path_factory.mktemp("links") / "valid.pharaoh"
    words = [len(line.split()) for line in corpus.valid[0].read_text("utf-8").splitlines()]
    path.write_text(
        "".join(" ".join(f"{i}{'-?'[i % 3 == 2]}{i}" for i in range(n)) + "\n" for n in words)
    )
    return path


@pytest.fixture(scope="module")
def reverse_run(corpus, tmp_path_factory):
    """A run that translates the other way, hardly trained."""
    folder = tmp_path_factory.mktemp("reverse")
    source, target = corpus.train
    valid = ("--valid-source", corpus.valid[1], "--valid-target", corpus.valid[0])
    store, run = folder / "store", folder / "run"
    assert call("preprocess", target, source, store, *valid, "--vocabulary-size", 350).code == 0
    assert call(*train(store, run, updates=10)).code == 0
    return run


def written_links(*arguments):
    result = call("align", *arguments, "--format", "pharaoh")
    assert result.code == 0, result.err
    return [parse_pharaoh(line) for line in result.lines]


def measured(*arguments):
    result = call("align", *arguments, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


def test_the_measures_are_those_of_the_links_that_are_written(run, corpus, reference):
    report = measured(run, *corpus.valid, "--gold", reference)
    found = written_links(run, *corpus.valid)
    drawn = [line.split() for line in reference.read_text().splitlines()]
    sure = [parse_pharaoh(" ".join(e for e in line if "-" in e)) for line in drawn]
    every = [parse_pharaoh(" ".join(line).replace("?", "-")) for line in drawn]
    expected = alignment_error_rate(found, sure, every)
    assert report["aer"]["value"] == pytest.approx(expected.aer)
    assert report["f1"]["value"] == pytest.approx(expected.f1)
    assert report["aer"]["low"] <= report["aer"]["value"] <= report["aer"]["high"]
    assert report["counts"] == expected.counts._asdict()
    assert report["schema_version"] == 1 and report["sentences"] == 40

    table = call("align", run, *corpus.valid, "--gold", reference)
    assert table.lines[0].startswith(f"AER        {expected.aer:.3f}  95 %: ")
    assert f"of {expected.counts.sure} sure links found" in table.out


def test_naacl_and_pharaoh_files_of_the_same_links_give_the_same(run, corpus, reference, tmp_path):
    lines = []
    for sentence, line in enumerate(reference.read_text().splitlines(), start=1):
        for entry in line.split():
            source, target = (int(word) + 1 for word in entry.replace("?", "-").split("-"))
            lines.append(f"{sentence} {source} {target} {'P' if '?' in entry else 'S'}\n")
    naacl = tmp_path / "valid.naacl"
    naacl.write_text("".join(lines))
    options = (run, *corpus.valid, "--threshold", 0.2, "--gold")
    assert measured(*options, naacl) == measured(*options, reference)


def test_a_chosen_shift_is_the_one_with_the_lowest_error_rate(run, corpus, reference):
    rates = {
        rows: measured(run, *corpus.valid, "--gold", reference, "--shift", rows)["aer"]["value"]
        for rows in (-1, 0, 1)
    }
    report = measured(run, *corpus.valid, "--gold", reference, "--shift", "auto")
    (shift,) = report["shifts"]
    assert report["aer"]["value"] == min(rates.values()) == rates[shift["rows"]]
    assert shift["aer"] == {str(rows): pytest.approx(rate) for rows, rate in rates.items()}
    assert len({*rates.values()}) > 1


def test_a_shift_is_that_of_the_rows_and_auto_says_which_it_takes(run, corpus):
    options = (run, *corpus.valid, "--pieces", "--format", "json")
    plain, shifted, auto = (
        call("align", *options, "--shift", shift) for shift in ("0", "1", "auto")
    )
    assert auto.out == plain.out
    assert auto.err.startswith("shift 0: the context of a step is part of its readout\n")
    for before, after in zip(plain.lines, shifted.lines, strict=True):
        rows = json.loads(before)["alignment"]["weights"]
        assert json.loads(after)["alignment"]["weights"] == [*rows[1:], rows[-1]]


def test_links_of_two_directions_are_combined(run, reverse_run, corpus, reference):
    options = (run, *corpus.valid, "--with-reverse", reverse_run)
    alone = written_links(run, *corpus.valid)
    backward = [
        {(i, j) for j, i in links} for links in written_links(reverse_run, *corpus.valid[::-1])
    ]
    for method, combine in (("intersection", set.intersection), ("union", set.union)):
        found = written_links(*options, "--symmetrize", method)
        assert found == [combine(*both) for both in zip(alone, backward, strict=True)]
    report = measured(*options, "--gold", reference, "--shift", "auto")
    assert len(report["shifts"]) == 2 and report["symmetrization"] == "intersection"


def test_translations_of_the_model_are_linked_in_both_directions(run, reverse_run):
    options = (run, "-", "--with-reverse", reverse_run, "--symmetrize", "union")
    result = call(
        "align", *options, "--format", "pharaoh", "--shift", "auto", stdin=b"red dog\n\nthe cat\n"
    )
    assert result.code == 0, result.err
    assert len(result.lines) == 3 and result.lines[1] == ""
    assert result.err.count("shift of ") == 2


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--gold", "FILE"], 2, "TARGET is not given"),
        (["TARGET", "--gold", "FILE", "--format", "json"], 2, "--gold measures links"),
        (["TARGET", "--json"], 2, "--json is for the measures"),
        (["TARGET", "--threshold", "0.1"], 2, "--threshold is for links"),
        (["TARGET", "--with-reverse", "RUN"], 2, "--with-reverse combines links of words"),
        (["TARGET", "--with-reverse", "RUN", "--format", "pharaoh"], 2, "not two directions"),
        (["TARGET", "--gold", "FILE", "--gold-base", "1"], 3, "links a word before word 1"),
        (["TARGET", "--gold-base", "1"], 2, "--gold, which is not given"),
        (["TARGET", "--gold", "TARGET"], 3, "is not an alignment link"),
    ],
)
def test_what_cannot_be_done_is_refused(options, code, said, run, corpus, reference):
    values = {"FILE": reference, "TARGET": corpus.valid[1], "RUN": run}
    result = call("align", run, corpus.valid[0], *(values.get(each, each) for each in options))
    assert (result.code, result.out) == (code, ""), result.err
    assert said in result.err and "hint: " in result.err


def test_an_archive_has_what_the_json_has(run, corpus, tmp_path):
    text = tmp_path / "text"
    text.write_text("red dog\n\nthe cat quinces\n")
    path = tmp_path / "attention.npz"
    for options in ([], ["--pieces"]):
        arguments = ("align", run, text, *options)
        written = call(*arguments, "--format", "npz", "--output", path, "--overwrite")
        assert (written.code, written.out) == (0, ""), written.err
        lines = [json.loads(line) for line in call(*arguments, "--format", "json").lines]
        assert len(lines) == 3
        for line, found in zip(lines, read_archive(path), strict=True):
            if line["alignment"] is None:
                assert found is None
                continue
            assert list(found.source) == line["alignment"]["source"]
            assert list(found.target) == line["alignment"]["target"]
            np.testing.assert_allclose(found.weights, line["alignment"]["weights"], atol=6e-5)


def test_an_archive_has_to_be_a_file_of_its_own(run, corpus, tmp_path):
    arguments = ("align", run, corpus.valid[0], "--format", "npz")
    for options in ((), ("--output", "-")):
        refused = call(*arguments, *options)
        assert (refused.code, refused.out) == (2, "") and "has to be a file" in refused.err
    taken = tmp_path / "taken.npz"
    taken.write_text("precious")
    refused = call(*arguments, "--output", taken)
    assert refused.code == 2 and taken.read_text() == "precious"
