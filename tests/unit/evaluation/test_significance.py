"""Paired tests equal those of sacreBLEU's own command on the same files, to the digit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from noisy_texts import noisy_texts

from seq2seq.errors import ConfigError, CorpusError
from seq2seq.evaluation.significance import paired_test

# sacreBLEU 2.6.0 cannot write the intervals of a bootstrap as JSON, which are float32
COMMAND = """
import functools, json
json.dumps = functools.partial(json.dumps, default=float)
from sacrebleu.sacrebleu import main
main()
"""
FLAGS = {"bootstrap": "--paired-bs", "randomisation": "--paired-ar"}


def of_the_command(folder: Path, test: str, samples: int) -> list[dict[str, dict[str, float]]]:
    """The JSON output of the program `sacrebleu`: for the baseline and the system, their scores."""
    for name, lines in zip(("references", "baseline", "system"), noisy_texts(), strict=True):
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    result = subprocess.run(
        [
            *[sys.executable, "-c", COMMAND, "references", "-i", "baseline", "system"],
            *["-m", "bleu", "chrf", "ter", FLAGS[test], f"{FLAGS[test]}-n", str(samples)],
            *["-f", "json", "--quiet"],
        ],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(result.stdout)


@pytest.mark.parametrize(("test", "samples"), [("bootstrap", 200), ("randomisation", 500)])
def test_a_paired_test_is_that_of_the_sacrebleu_command(tmp_path, test, samples):
    references, baseline, system = noisy_texts()
    theirs = of_the_command(tmp_path, test, samples)
    ours = paired_test(test, baseline, system, references, samples=samples)
    assert [score.metric for score in ours] == ["BLEU", "chrF2", "TER"]
    for score in ours:
        assert score.baseline == theirs[0][score.metric]["score"]
        assert score.system == theirs[1][score.metric]["score"]
        assert score.p == theirs[1][score.metric]["p_value"]
        assert 0 < score.p < 1
        assert f"{'bs' if test == 'bootstrap' else 'ar'}:{samples}" in score.signature


def test_a_seed_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setenv("SACREBLEU_SEED", "abc")
    with pytest.raises(ConfigError, match="SACREBLEU_SEED is 'abc'"):
        paired_test("bootstrap", ["a"], ["a"], ["a"])


def test_a_test_needs_as_many_lines_on_each_side():
    with pytest.raises(CorpusError, match="the reference has 2 lines for 1 hypotheses"):
        paired_test("bootstrap", ["a", "b"], ["a"], ["a", "b"])
