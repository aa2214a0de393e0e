"""`seq2seq score-pairs` from the shell, beside the scores that `translate` reports."""

import json
import math
import shutil

import pytest
from program import call


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def scores(run, source, target, *options):
    done = call("score-pairs", run, source, target, "--threads", "1", *options)
    assert done.code == 0, done.err
    return done


def test_translations_have_the_scores_that_translate_reported(run, corpus, tmp_path):
    source = corpus.valid[0]
    done = call("translate", run, source, "--json", "--threads", "1")
    reported = [json.loads(line)["candidates"][0] for line in done.out.splitlines()]
    target = write(tmp_path / "target", [each["text"] for each in reported])
    plain = scores(run, source, target)
    objects = [json.loads(line) for line in scores(run, source, target, "--json").out.splitlines()]
    assert len(objects) == len(plain.out.splitlines()) == len(reported)
    same = 0
    for each, line, candidate in zip(objects, plain.out.splitlines(), reported, strict=True):
        assert each["schema_version"] == 1 and not each["truncated"]
        total, count = math.fsum(each["log_probabilities"]), len(each["pieces"])
        assert each["log_probability"] == pytest.approx(total)
        assert each["tokens"] == count == len(each["log_probabilities"])
        assert each["log_probability_per_token"] == pytest.approx(total / count)
        assert each["perplexity"] == pytest.approx(math.exp(-total / count))
        in_columns = [float(value) for value in line.split("\t")]
        expected = [total, count, total / count, math.exp(-total / count)]
        assert in_columns == pytest.approx(expected, rel=1e-5, abs=1e-6)
        if each["pieces"] == candidate["pieces"]:
            assert total == pytest.approx(candidate["log_probability"], abs=1e-5)
            same += 1
    assert same > len(reported) / 2
    tokens = sum(each["tokens"] for each in objects)
    mean = sum(each["log_probability"] for each in objects) / tokens
    assert f"{tokens:,} target tokens, log-probability {mean:.4f} a token" in plain.err


def test_ranks_of_torchrun_are_refused(run, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    for command in ("translate", "evaluate", "score-pairs"):
        refused = call(command, run, *[tmp_path] * (1 + (command != "translate")))
        assert refused.code == 2 and "without torchrun, with --workers 2" in refused.err


def test_blank_lines_stay_blank(run, tmp_path):
    source = write(tmp_path / "source", ["ba ce", "", "di"])
    target = write(tmp_path / "target", ["ec ab", "ec", ""])
    done = scores(run, source, target)
    first, blank, empty = done.out.splitlines()
    assert len(first.split("\t")) == 4 and blank == "" and empty.split("\t")[1] == "1"
    assert "no scores for 1 blank source line" in done.err
    blank = json.loads(scores(run, source, target, "--json").out.splitlines()[1])
    assert blank["log_probability"] is blank["perplexity"] is None and blank["tokens"] == 0


def test_a_long_source_is_cut_with_a_warning(run, tmp_path):
    source, target = write(tmp_path / "s", ["ba ce di"]), write(tmp_path / "t", ["id ec ab"])
    done = scores(run, source, target, "--json", "--set", "search.max_source_pieces=1")
    assert json.loads(done.out)["truncated"] and "warning: line 1 is longer" in done.err


@pytest.mark.parametrize("setting", ["beam=1", "sample=true", "shortlist=5", "precision=int8"])
def test_a_search_setting_without_an_effect_on_scores_is_refused(run, tmp_path, setting):
    source, target = write(tmp_path / "s", ["ba ce"]), write(tmp_path / "t", ["ec ab"])
    refused = call("score-pairs", run, source, target, "--set", f"search.{setting}")
    name, _ = setting.split("=")
    assert refused.code == 2 and refused.out == ""
    assert f"search.{name} has no effect on the scores of given translations" in refused.err


def test_no_shortlist_is_learnt(run, tmp_path):
    elsewhere = shutil.copytree(run, tmp_path / "run")
    (elsewhere / "lexicon.safetensors").unlink(missing_ok=True)
    config = elsewhere / "config.toml"
    text = config.read_text(encoding="utf-8")
    assert "\nshortlist = 0\n" in text
    config.write_text(text.replace("\nshortlist = 0\n", "\nshortlist = 5\n"), encoding="utf-8")
    source, target = write(tmp_path / "s", ["ba ce"]), write(tmp_path / "t", ["ec ab"])
    found = scores(elsewhere, source, target)
    assert found.out == scores(run, source, target).out
    assert not (elsewhere / "lexicon.safetensors").exists()


def test_files_of_unequal_length_are_refused_before_any_output(run, tmp_path):
    source, target = write(tmp_path / "s", ["ba", "ce"]), write(tmp_path / "t", ["ab"])
    done = call("score-pairs", run, source, target)
    assert done.code == 3 and done.out == "" and "has 2 lines but" in done.err
