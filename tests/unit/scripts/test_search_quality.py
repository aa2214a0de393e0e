"""The table of searches: which commands it runs, what it averages, and what is not done twice."""

import json

import installed
import pytest
import search_quality


@pytest.fixture
def commands(monkeypatch):
    """The commands of the program, which are recorded; every score grows with the seed."""
    recorded = []

    def record(name, *arguments):
        recorded.append((name, *arguments))
        score = float(arguments[0][-1]) if name == "evaluate" else 0.0
        return json.dumps(
            {"bleu": {"score": 30 + score}, "chrf": {"score": 50 + score}}
            | {"reverse_weight": 0.25, "length_reward": 0.75}
        )

    for module in (search_quality, installed):
        monkeypatch.setattr(module, "run_program", record)
    return recorded


def test_every_model_is_trained_and_every_search_measured_once(commands, tmp_path):
    page = tmp_path / "page.md"
    options = ("corpus", str(tmp_path / "work"), "--updates", "5", "--output", str(page))
    search_quality.main(options)

    names = [command[0] for command in commands]
    assert names.count("preprocess") == 2 and names.count("train") == 10
    assert names.count("evaluate") == 2 * (5 * 3 + 4) and names.count("tune-rescoring") == 2 * 3
    assert all("--set=training.updates=5" in each for each in commands if each[0] == "train")
    rescored = next(each for each in commands if any("--rescore-with" in x for x in each))
    assert rescored[1].endswith("de-en-luong-1")
    assert f"--rescore-with={tmp_path / 'work' / 'en-de-luong-1'}" in rescored
    assert "--set=search.reverse_weight=0.25" in rescored
    ensemble = next(each for each in commands if any("bahdanau-1" in x for x in each[4:]))
    assert [x.rpartition("/")[2] for x in ensemble if x.startswith("--with")] == [
        "de-en-bahdanau-1",
        "de-en-conditional-1",
    ]
    rows = page.read_text().splitlines()
    assert "| beam 5 | 32.0 ± 1.0 | 52.0 ± 1.0 | 32.0 ± 1.0 | 52.0 ± 1.0 |" in rows
    assert "| ensemble of 3 seeds, beam 5 | 31.0 | 51.0 | 31.0 | 51.0 |" in rows

    before = names.count("evaluate")
    search_quality.main(options)
    assert [command[0] for command in commands].count("evaluate") == before
