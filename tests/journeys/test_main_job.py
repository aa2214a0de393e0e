"""The main commands on one corpus: preprocess, train, translate, evaluate, align, describe."""

import gzip
import hashlib
import json
import re
import shlex
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from journey import UPDATES, pairs, train
from program import ENVIRONMENT, PROGRAM, call, forked

ODD_LINES = [
    "red dog sees the cat",
    "",
    "   ",
    "one\u2028line\u0085 of\vtext\f",
    "carriage\rreturn",
    "Ελληνικά 中文 👩‍👩‍👧",
    "\x1b[2J\x1b]0;title\x07 [/b] [red] :smile: \\",
    "cat " * 25_000,  # 100,000 characters
    "\t",
    "the last one",
    "",
    "",
]


def model_hash(run, checkpoint="last"):
    folder = run / "checkpoints" / (run / "checkpoints" / checkpoint).read_text().strip()
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def events(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def odd_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("odd") / "odd lines [b].txt"
    path.write_bytes("\n".join([*ODD_LINES, "no final newline"]).encode())
    return path


@pytest.fixture(scope="module")
def odd_output(run, odd_file):
    return call("translate", run, odd_file, "--threads", 1)


def test_preprocess_makes_a_store_once(corpus, prepared):
    again = call(*corpus.preprocess(prepared, "--json"))
    assert (again.code, again.err.split("\n")[0]) == (
        0,
        f"{prepared} was prepared already; nothing was done",
    )
    report = json.loads(again.out)
    assert report["stages_reused"] == ["pieces", "ids"]
    assert report["splits"]["train"]["pairs"] == 1000
    assert report["source_language"] == "en"
    assert report["config"]["vocabulary_size"] == 350  # given; the other two are chosen
    assert report["choice"]["settings"] == ["character_coverage", "normalization"]
    assert again.err.split("\n")[1].startswith("chosen for this corpus: ")
    codes = [warning["code"] for warning in report["warnings"]]
    assert codes[0] == "few-pairs" and "small-validation" in codes
    assert f"warning: {report['warnings'][0]['message']}; " in again.err


def test_training_reports_progress_on_stderr_and_writes_a_run(training):
    run, result = training
    assert result.out == ""
    assert re.search(
        r"after update 40: perplexity [\d.]+, BLEU [\d.]+, chrF [\d.]+ \(the best so far\)",
        result.err,
    )
    assert result.err.count("  reference    ") == 1 and result.err.count("  translation  ") == 3
    assert f"all {UPDATES} updates are done" in result.err
    assert "warning: 1,000 pairs: " in result.err
    assert (run / "report.txt").read_text() in result.err
    assert "\ntrend: " in result.err and "\ntry: " in result.err
    assert f"next: seq2seq translate {run}\n" in result.err
    assert (run / "train.log").read_text() in result.err
    validations = [event for event in events(run) if event["event"] == "validation"]
    assert [event["update"] for event in validations] == [40, 80, 120]
    assert validations[-1]["nats_per_token"] < validations[0]["nats_per_token"]
    assert {path.name for path in run.iterdir()} >= {"config.toml", "provenance.json"}
    assert not list(run.glob(".*partial*"))


def test_as_many_lines_come_out_as_go_in(odd_output):
    assert len(odd_output.lines) == len(ODD_LINES) + 1
    for source, translation in zip([*ODD_LINES, "no final newline"], odd_output.lines, strict=True):
        assert bool(translation) == bool(source.strip())


def test_a_truncated_line_causes_a_warning(odd_output):
    cut, longer = odd_output.err.splitlines()
    assert cut == "warning: line 8 is longer than search.max_source_pieces and was cut"
    assert "far longer than any in training" in longer and "in line 8" in longer


def test_gzip_standard_input_and_json_give_the_same_translations(run, odd_file, odd_output):
    packed = call("translate", run, "-", "--json", stdin=gzip.compress(odd_file.read_bytes()))
    found = [json.loads(line) for line in packed.lines]
    assert [each["translation"] for each in found] == odd_output.lines
    assert [each["source"] for each in found] == [*ODD_LINES, "no final newline"]
    assert [number for number, each in enumerate(found) if each["truncated"]] == [7]
    assert {each["schema_version"] for each in found} == {1}
    for each in found:
        scores = [candidate["score"] for candidate in each["candidates"]]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == bool(each["source"].strip())


def test_n_best_lines_have_number_text_score_and_links(run):
    result = call("translate", run, "--n-best", 3, "--alignments", stdin=b"red dog\n\nthe cat\n")
    fields = [line.split(" ||| ") for line in result.lines]
    assert [each[0] for each in fields] == ["0", "0", "0", "1", "2", "2", "2"]
    assert result.lines[3] == "1 |||  ||| 0 ||| "
    for _, _, score, links in fields[:3] + fields[4:]:
        assert re.fullmatch(r"-\d+\.\d{4}", score)
        assert re.fullmatch(r"(\d+-\d+ ?)*", links)
    assert [float(each[2]) for each in fields[:3]] == sorted(
        (float(each[2]) for each in fields[:3]), reverse=True
    )


def test_a_thousand_lines_keep_their_order(run):
    lines = [source for source, _ in pairs(1000, seed="order")]
    there = call("translate", run, "--beam", 1, stdin="".join(f"{s}\n" for s in lines).encode())
    back = call("translate", run, "--beam", 1, stdin="\n".join(reversed(lines)).encode())
    assert there.lines == back.lines[::-1]
    assert len(set(there.lines)) > 1


def test_typed_and_piped_lines_get_the_same_translations(run):
    lines = b"red dog sees the cat\na big house\n/n-best 1\n"
    typed = call("translate", run, "--interactive", stdin=lines)
    piped = call("translate", run, stdin=lines[: lines.index(b"/")])
    assert typed.code == piped.code == 0
    assert typed.out == piped.out


def test_a_pipe_gets_each_translation_at_once(run):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with forked("translate", run, "--threads", 1, **pipes) as process:
        assert process.stdin and process.stdout
        seconds = []
        for line in (b"red dog\n", b"the cat\n", b"\n"):
            began = time.monotonic()
            process.stdin.write(line)
            process.stdin.flush()
            answer = process.stdout.readline()
            seconds.append(time.monotonic() - began)
            assert bool(answer.strip()) == bool(line.strip())
        process.stdin.close()
        assert process.wait(timeout=20) == 0
    assert max(seconds[1:]) < 2  # the first one waits for the model


def test_evaluate_scores_what_it_writes(run, corpus, tmp_path):
    output = tmp_path / "translations"
    arguments = ("evaluate", run, *corpus.valid, "--threads", 1, "--output", output)
    shown = call(*arguments)
    assert shown.code == 0, shown.err
    assert shown.out.startswith("40 sentences, 1 reference each\n")
    assert re.search(r"^BLEU\|nrefs:1\|.*\|version:", shown.out, re.MULTILINE)
    found = json.loads(call(*arguments, "--json", "--overwrite").out)
    assert found["model_sha256"] == model_hash(run, "best")
    assert output.read_text().count("\n") == found["sentences"] == 40
    scored = json.loads(call("score", output, corpus.valid[1], "-t", "xx", "--json").out)
    assert {name: found[name] for name in ("bleu", "chrf", "ter")} == {
        name: scored[name] for name in ("bleu", "chrf", "ter")
    }


def test_align_draws_links_and_gives_json(run, corpus):
    source, target = corpus.valid
    drawn = call("align", run, source, target, "--threads", 1)
    assert drawn.code == 0, drawn.err
    assert max(map(len, drawn.lines)) <= 100 and "⏎" in drawn.out
    lines = b"red dog\n\nthe cat\n"
    links = call("align", run, "-", "--format", "pharaoh", stdin=lines).lines
    assert len(links) == 3 and links[1] == ""
    assert all(re.fullmatch(r"(\d+-\d+ ?)*", links[number]) for number in (0, 2))
    found = [
        json.loads(line) for line in call("align", run, source, target, "--format", "json").lines
    ]
    assert len(found) == 40


def test_align_draws_in_the_style_that_is_asked_for(run):
    line = b"red dog sees the small cat\n"

    def drawn(*options: object) -> str:
        result = call("align", run, "-", *options, stdin=line)
        assert result.code == 0, result.err
        assert all(len(each) <= 40 for each in result.lines[2:])
        return result.out

    assert "123456" in drawn("--style", "half", "--width", 40)
    assert " 0." in drawn("--style", "list", "--width", 40)
    assert drawn("--values", "--width", 40) == drawn("--style", "values", "--width", 40)
    assert "•" in drawn("--values", "--width", 40)
    for figure in ("entropy", "coverage", "confidence 0."):
        assert figure in drawn("--width", 40)


def test_describe_shows_store_run_and_checkpoint(run, prepared):
    last = run / "checkpoints" / (run / "checkpoints" / "last").read_text().strip()
    for path in (prepared, run, last):
        assert call("describe", path).out
        assert json.loads(call("describe", path, "--json").out)["schema_version"] == 1
    store, opened = (json.loads(call("describe", p, "--json").out) for p in (prepared, run))
    assert 256 < store["output_pieces"] == opened["output_pieces"] < store["target_vocabulary"]
    assert f"output pieces: {store['output_pieces']}\n" in call("describe", run).out


def test_describe_shows_how_samples_were_translated_over_time(run, prepared):
    shown = call("describe", run, "--samples")
    assert shown.code == 0, shown.err
    assert shown.out.count("of the validation set\n") == 4
    assert shown.out.count("  update  40  ") == shown.out.count("  update 120  ") == 4
    assert len(json.loads(call("describe", run, "--samples", "--json").out)["samples"]) == 12
    assert call("describe", prepared, "--samples").code == 4


@pytest.mark.parametrize("attention", ["none", "bahdanau"])
def test_every_attention_trains_and_translates(attention, prepared, corpus, tmp_path):
    run = tmp_path / "run"
    trained = call(*train(prepared, run, "--attention", attention, updates=20))
    assert trained.code == 0, trained.err
    assert len(call("translate", run, corpus.valid[0]).lines) == 40
    aligned = call("align", run, corpus.valid[0], "--format", "pharaoh")
    if attention == "none":
        assert (aligned.code, aligned.out) == (2, "")
        assert "attention none" in aligned.err and "hint:  train with --attention" in aligned.err
    else:
        assert len(aligned.lines) == 40


def test_an_interrupted_training_resumes_to_the_same_bytes(run, prepared, tmp_path):
    broken = tmp_path / "broken [b] run"
    command = [str(PROGRAM), *map(str, train(prepared, broken))]
    with running(command) as process:
        output = read_until(process, "update 10 ")
        process.send_signal(signal.SIGINT)
        output += process.stderr.read()
        assert process.wait(timeout=30) == 130, output
    command = shlex.split(output.splitlines()[-1].partition("Go on with: ")[2])
    assert command[:2] == ["seq2seq", "train"]
    resumed = [str(PROGRAM), *command[1:], "--threads", "1"]
    with running(resumed) as process:
        output = read_until(process, "update 50 ")
        process.send_signal(signal.SIGTERM)
        output += process.stderr.read()
        assert process.wait(timeout=30) == 143, output
        (resumed_at,) = re.findall(r"resumed at update (\d+)", output)
        assert 10 <= int(resumed_at) < 50
    done = call(*resumed[1:])
    assert done.code == 0, done.err
    assert f"all {UPDATES} updates are done" in done.err
    assert model_hash(broken) == model_hash(run)
    assert (broken / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()


@contextmanager
def running(command):
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=ENVIRONMENT
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def read_until(process, text):
    output = ""
    while text not in output:
        line = process.stderr.readline()
        assert line, output
        output += line
    return output


def test_every_key_of_the_json_is_documented(run):
    (line,) = call("translate", run, "--json", "--alignments", stdin=b"red dog\n").lines
    found = json.loads(line)
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    section = page.partition("\n## JSON\n")[2].partition("\n## ")[0]
    documented = {*re.findall(r"^\| `(\w+)` \|", section, re.M)}
    assert documented - {*found, *found["candidates"][0]} == {"reverse_log_probability"}
    assert {*found, *found["candidates"][0]} < documented
