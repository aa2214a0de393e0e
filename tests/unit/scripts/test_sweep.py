"""Plans of experiments, and the page of their results."""

import json
import tomllib
from pathlib import Path

import pytest
import sweep

PLAN = """
title = "Experiments"
recipe = "small"
seeds = [1, 2]
note = "A word on how."
base = ["training.updates=10", "data.vocabulary_size=400"]

[[trial]]
name = "first"

[[trial]]
name = "second"
why = "because"
set = ["model.dropout=0.5", "data.vocabulary_size=800"]
seeds = [3]
"""


@pytest.fixture
def plan(tmp_path) -> sweep.Plan:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN, encoding="utf-8")
    return sweep.Plan.read(path)


def result(name: str, seed: int, bleu: float, nats: float) -> dict[str, object]:
    return {
        "name": name,
        "seed": seed,
        "bleu": bleu,
        "nats_per_sentence": nats,
        "parameters": 6_149_024,
        "signature": "signed",
        "date": "2026-11-22",
        "machine": "x86_64, 2 cores",
    }


def test_a_trial_has_the_settings_of_the_base_and_its_own_for_each_seed(plan):
    assert [(trial.name, trial.seed) for trial in plan.trials] == [
        ("first", 1),
        ("first", 2),
        ("second", 3),
    ]
    second = plan.trials[2]
    assert second.run_settings == ("training.updates=10", "model.dropout=0.5")
    assert second.data_settings == ("data.vocabulary_size=400", "data.vocabulary_size=800")


def test_the_page_compares_means_with_the_first_trial(plan):
    results = [result("first", 1, 30.0, 33.0), result("first", 2, 32.0, 34.0)]
    results.append(result("second", 3, 33.5, 32.0))
    page = list(sweep.page_lines(plan, results))
    assert "A word on how." in page
    assert "| first |  | 31.0 ± 1.4 | +0.0 | 33.50 (+0.00) | 6.1 M |" in page
    assert "| second | because | 33.5 | +2.5 | 32.00 (-1.50) | 6.1 M |" in page
    assert page[-1] == "* second: `model.dropout=0.5`, `data.vocabulary_size=800`"


def test_a_page_without_its_first_trial_is_refused(plan):
    with pytest.raises(SystemExit, match="first"):
        list(sweep.page_lines(plan, [result("second", 3, 33.5, 32.0)]))


def test_every_plan_of_the_repository_can_be_read():
    files = Path("scripts/sweeps").glob("*.toml")
    plans = [path for path in files if "trial" in tomllib.loads(path.read_text(encoding="utf-8"))]
    assert len(plans) == 3
    for path in plans:
        plan = sweep.Plan.read(path)
        assert all(trial.why for trial in plan.trials), path
        names = [(trial.name, trial.seed) for trial in plan.trials]
        assert len(set(names)) == len(names), path


def test_results_are_read_and_a_missing_file_has_none(tmp_path):
    path = tmp_path / "results.jsonl"
    assert sweep.read_results(path) == []
    path.write_text(json.dumps(result("first", 1, 30.0, 33.0)) + "\n", encoding="utf-8")
    assert sweep.read_results(path)[0]["bleu"] == 30.0
