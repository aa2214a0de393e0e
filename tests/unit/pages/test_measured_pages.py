"""The pages of measurements say what their results say."""

from pathlib import Path

import directions
import pytest
import sweep
from results import read_results

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("small", "experiments.md"),
        ("tiny", "experiments/tiny.md"),
        ("long", "experiments/long.md"),
    ],
)
def test_a_page_of_experiments_is_made_of_its_plan_and_results(name, page):
    plan = sweep.Plan.read(ROOT / "scripts" / "sweeps" / f"{name}.toml")
    lines = sweep.page_lines(plan, read_results(DOCS / "experiments" / f"{name}.jsonl"))
    assert (DOCS / page).read_text(encoding="utf-8").splitlines() == list(lines)


def test_the_page_of_three_directions_is_made_of_its_results():
    lines = directions.page_lines(read_results(DOCS / "experiments" / "multi30k.jsonl"))
    assert (DOCS / "multi30k.md").read_text(encoding="utf-8").splitlines() == list(lines)
