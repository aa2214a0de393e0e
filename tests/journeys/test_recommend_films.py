"""The recommender of films, as a person runs it."""

import json
import re

import pytest
import recommend_films
from program import ProgramResult, Terminal, call_main

SMALL = ("--users", "400", "--worlds", "1", "--updates", "60", "--seed", "7")


def recommend(*arguments: str) -> ProgramResult:
    return call_main(recommend_films.main, *SMALL, *arguments)


@pytest.fixture(scope="module")
def drawn() -> ProgramResult:
    """The output of the film recommender for small random data."""
    return recommend()


@pytest.fixture(scope="module")
def report() -> dict:
    result = recommend("--json", "--score", "dot", "location")
    assert result.code == 0, result.err
    (line,) = result.lines
    return json.loads(line)


def ndcg(report: dict) -> dict[str, float]:
    return {ranking["name"]: ranking["ndcg_at_10"]["mean"] for ranking in report["rankings"]}


def test_it_prints_three_tables(drawn):
    assert drawn.code == 0, drawn.err
    assert "Held-out films" in drawn.out
    assert "Attention of users in world 7 (dot)" in drawn.out
    assert "Nearest to each context vector" in drawn.out
    assert drawn.err == "world 7: done\n"


def test_the_map_has_a_row_for_each_user_and_marks_one_film_in_it(drawn):
    _, _, below = drawn.out.partition("get exactly 0\n")
    rows = [line for line in below.partition("\n\n")[0].split("\n") if "," in line]
    assert len(rows) == 8
    for row in rows:
        assert re.search(r"\w+, [\w -]+, [\w-]+ \+ [\w-]+ ", row), row
        assert row.count("•") == 1


def test_attention_ranks_better_than_popularity_because_of_the_profiles(report):
    found = ndcg(report)
    for name in ("dot: weights", "location: weights"):
        assert found[name] > found["popularity"] + 0.02
    assert found["dot: context"] > found["popularity"]
    assert found["popularity"] > found["random"] + 0.1
    assert found["(tastes known)"] > max(found["dot: weights"], found["location: weights"])
    # with the profile of somebody else, nothing is left of the gain
    assert found["dot, profiles swapped"] < found["popularity"] + 0.01


def test_the_json_has_the_map(report):
    attention = report["attention"]
    assert report["schema_version"] == 1
    assert len(attention["users"]) == len(attention["weights"]) == len(report["recommended"]) == 8
    for row in attention["weights"]:
        assert len(row) == len(attention["films"])
        assert min(row) >= 0
        assert sum(row) <= 1.001  # the films that are not shown have the rest


def test_the_same_seed_gives_the_same_bytes():
    few = ("--updates", "5")
    for options in (few, (*few, "--score", "general", "--heads", "4")):
        assert recommend(*options) == recommend(*options)


def test_another_seed_is_another_world(report):
    other = recommend("--json", "--score", "dot", "--seed", "8")
    assert json.loads(other.out)["attention"] != report["attention"]


def test_a_pipe_gets_no_colours(drawn):
    assert "\x1b" not in drawn.out + drawn.err


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}])
def test_a_terminal_gets_colours_unless_they_are_turned_off(variables, monkeypatch):
    terminal = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    for name, value in (terminal | variables).items():
        monkeypatch.setenv(name, value)
    options = ("--score", "dot", "--updates", "1", "--width", "90")
    result = call_main(recommend_films.main, *SMALL, *options, stdout=Terminal)
    assert "Attention of users" in result.out
    assert ("[48;2;" in result.out or ";48;2;" in result.out) == (not variables)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--score", "cosine"],
        ["--heads", "3"],
        ["--heads", "4", "--score", "location"],
        ["--users", "5"],
        ["--worlds", "0"],
    ],
)
def test_what_cannot_be_done_is_refused_by_name(wrong):
    result = recommend(*wrong)
    assert result.code == 2
    assert f"argument {wrong[0]}" in result.err
    assert "Traceback" not in result.err
