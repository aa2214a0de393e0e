"""`seq2seq score` from the shell, beside the sacrebleu program on the same files."""

import gzip
import json
import random
import re
import subprocess
import sys

import pytest
from program import ENVIRONMENT, call, seq2seq

WITHOUT_SACREBLEU = {
    name: value for name, value in ENVIRONMENT.items() if not name.startswith("SACREBLEU")
}
WORDS = "the a small red Dog cat sees ; runs home , today quickly under old trees 3.5 % “so”"
SACREBLEU = [sys.executable, "-m", "sacrebleu", "-m", "bleu", "chrf", "ter", "-f"]


@pytest.fixture(scope="module")
def few_samples():
    """Undo the smaller number of bootstrap samples of other tests: sacreBLEU's own number."""


def lines(seed, count=40):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS.split(), k=rng.randint(3, 14))) + "." for _ in range(count)]


def damaged(sentences, seed):
    """Sentences with words left out and swapped, as a mediocre system would write them."""
    rng, found = random.Random(seed), []
    for sentence in sentences:
        words = [word for word in sentence.split() if rng.random() > 0.15]
        if len(words) > 3 and rng.random() < 0.3:
            words[0], words[2] = words[2], words[0]
        found.append(" ".join(words))
    return found


def write(path, sentences, end="\n"):
    path.write_bytes("".join(sentence + end for sentence in sentences).encode())
    return path


def sacrebleu(hypotheses, references, *options):
    """Output of the sacrebleu program: {"BLEU": {"score", "signature", ...}, "chrF2", "TER"}."""
    done = subprocess.run(
        [*SACREBLEU, "json", "-w", "12", "-i", hypotheses, *options, "--", *references],
        capture_output=True,
        check=True,
        env=WITHOUT_SACREBLEU,
        timeout=60,
    )
    return {figure["name"]: figure for figure in json.loads(done.stdout)}


def assert_parity(ours, theirs, *, intervals):
    for key in ("bleu", "chrf", "ter"):
        metric = ours[key]
        figure = theirs[metric["name"]]
        assert metric["signature"] == figure["signature"]
        assert metric["score"] == pytest.approx(figure["score"], abs=1e-9)
        if intervals:
            middle, half_width = figure["confidence_mean"], figure["confidence_var"]
            # sacreBLEU averages chrF and TER in float32
            assert metric["low"] == pytest.approx(middle - half_width, abs=2e-5)
            assert metric["high"] == pytest.approx(middle + half_width, abs=2e-5)


SEPARATED = ["one\u2028two three four", "five\x85six\rseven eight", "nine\x0bten\x1celeven twelve"]
CHINESE = ["猫坐在垫子上，看着窗外。", "狗在花园里跑得很快。", "今天天气很好，我们去公园。"]


@pytest.mark.parametrize(
    ("case", "our_options", "their_options"),
    [
        ("one reference", [], ["-ci"]),
        ("odd lines", ["--no-confidence"], []),
        (
            "lowercase characters",
            ["--no-confidence", "--lowercase", "--tokenizer", "char"],
            ["-lc", "--chrf-lowercase", "-tok", "char"],
        ),
        ("Chinese", ["--no-confidence", "--target-language", "zh"], ["-tok", "zh"]),
    ],
)
def test_scores_and_signatures_equal_those_of_sacrebleu(tmp_path, case, our_options, their_options):
    """Odd lines: three references with CRLF, blank hypotheses, line separators inside lines."""
    target, end, references = lines(1), "\n", 1
    if case == "odd lines":
        target, end, references = target[:10] + SEPARATED, "\r\n", 3
    elif case == "Chinese":
        target = CHINESE
    hypotheses = damaged(target, seed=2)
    if case == "odd lines":
        hypotheses[-3:] = [sentence[:-1] for sentence in SEPARATED]
        hypotheses[3], hypotheses[7], hypotheses[-1] = "", "   ", ""
    elif case == "lowercase characters":
        hypotheses = [sentence.upper() for sentence in hypotheses]
    elif case == "Chinese":
        hypotheses = [sentence[:-3] + "。" for sentence in CHINESE]
    paths = [write(tmp_path / "reference0", target, end)]
    for number in range(1, references):
        paths.append(write(tmp_path / f"reference{number}", damaged(target, seed=10 + number)))
    system = write(tmp_path / "hypotheses", hypotheses)

    done = call("score", system, *paths, "--json", *our_options)
    assert done.code == 0, done.err
    assert_parity(
        json.loads(done.out),
        sacrebleu(system, paths, *their_options),
        intervals="-ci" in their_options,
    )


def test_the_lines_for_a_paper_are_those_of_sacrebleu_at_any_width(tmp_path):
    target = lines(1)
    reference = write(tmp_path / "reference", target)
    system = write(tmp_path / "hypotheses", damaged(target, 2))
    done = seq2seq(
        "score",
        system,
        reference,
        "--no-confidence",
        environment=WITHOUT_SACREBLEU | {"COLUMNS": "20", "FORCE_COLOR": "1"},
    )
    theirs = subprocess.run(
        [*SACREBLEU, "text", "-i", system, "--", reference],
        capture_output=True,
        check=True,
        text=True,
        env=WITHOUT_SACREBLEU,
    )
    ours = done.out.splitlines()
    assert ours[0] == "40 sentences, 1 reference each"
    assert ours[-3:] == [line.strip() for line in theirs.stdout.splitlines()]
    assert all("look tokenised" in line for line in done.err.splitlines())  # which they are
    assert "\x1b" not in done.out


def test_intervals_are_shown_by_default_even_for_one_line(tmp_path):
    system = write(tmp_path / "system", ["a b c d"])
    done = call("score", system, system)
    assert done.out.count("95 %:") == 3
    assert done.out.startswith("1 sentence, 1 reference each\n")


def test_an_interval_ends_where_its_metric_does(tmp_path):
    reference = write(tmp_path / "reference", lines(1))
    others = [*lines(1)[:-1], "somebody else wrote the last of the lines"]
    hypotheses = write(tmp_path / "hypotheses", others)
    result = call("score", hypotheses, reference, "--json")
    assert json.loads(result.out)["bleu"]["high"] > 100  # sacreBLEU's, the same on both sides
    shown = call("score", hypotheses, reference).out
    assert re.search(r"BLEU .* to 100\.00 ", shown) and re.search(r"TER .* 95 %: +0\.00 to", shown)


def test_standard_input_gzip_and_files_give_the_same(tmp_path):
    text = "".join(line + "\n" for line in damaged(lines(1), 2)).encode()
    reference = write(tmp_path / "reference", lines(1))
    packed = tmp_path / "reference.gz"
    packed.write_bytes(gzip.compress(reference.read_bytes()))
    (tmp_path / "hypotheses").write_bytes(text)
    plain = call("score", tmp_path / "hypotheses", reference, "--no-confidence")
    assert plain.code == 0
    assert "95 %" not in plain.out
    piped = call("score", "-", packed, "--no-confidence", stdin=text)
    zipped = call("score", "-", packed, "--no-confidence", stdin=gzip.compress(text))
    assert plain.out == piped.out == zipped.out


def test_files_of_unequal_length_are_refused_by_name_and_count(tmp_path):
    system = write(tmp_path / "hypotheses", ["a", "b"])
    longer = write(tmp_path / "longer", ["a", "b", "c"])
    done = call("score", system, system, longer)
    assert done.code == 3
    assert done.out == ""
    message = done.err
    assert f"{system} has 2 lines but {longer} has 3" in message
    assert "hint:" in message


def test_empty_missing_and_repeated_inputs_are_refused(tmp_path):
    empty = write(tmp_path / "empty", [])
    system = write(tmp_path / "hypotheses", ["a"])
    for arguments, code, words in [
        (["-", system], 3, "standard input is empty"),
        ([empty, empty], 3, "is empty"),
        ([tmp_path / "nowhere", system], 3, "does not exist"),
        (["-", "-"], 2, "more than once"),
        ([system, system, "--target-language", "Chinese"], 2, "not a language code"),
        ([system, system, "--tokenizer", "moses"], 2, "moses"),
    ]:
        done = call("score", *arguments, stdin=b"")
        assert (done.code, done.out) == (code, ""), arguments
        assert words in done.err
        assert "hint:" in done.err


def test_warnings_go_to_stderr_and_not_into_the_json(tmp_path):
    reference = write(tmp_path / "reference", ["a b c d", "e f g h"])
    system = write(tmp_path / "hypotheses", ["▁a ▁b ▁c ▁d", ""])
    done = call("score", system, reference, "--json")
    report = json.loads(done.out)
    assert report["schema_version"] == 1
    assert (report["sentences"], report["blank_hypotheses"]) == (2, 1)
    warnings = done.err
    assert "1 of 2 hypotheses are blank" in warnings
    assert "subword pieces" in warnings
    assert len(report["notes"]) == warnings.count("warning:") - 1
