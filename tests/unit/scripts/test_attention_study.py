"""The study of attention on Multi30k: which commands it runs, and the page that it writes."""

import gzip

import attention_study
import pytest

from cli.runs.comparison.grid import read_grid


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """The commands of the program, which are recorded; reports write empty pictures."""
    recorded = []

    def record(*arguments):
        recorded.append(arguments)
        for option in arguments:
            if option.startswith("--pictures="):
                folder = tmp_path / option.removeprefix("--pictures=")
                folder.mkdir()
                for chart in ("bleu-by-length", "bleu-curve", "entropy-curve"):
                    (folder / f"{chart}.svg").write_text("<svg/>")
        return "| system | BLEU |\n"

    monkeypatch.setattr(attention_study, "run_program", record)
    return recorded


def test_a_study_is_compared_drawn_and_written(commands, tmp_path):
    for side in attention_study.SIDES:
        with gzip.open(tmp_path / f"test_2016_flickr.{side}.gz", "wt") as stream:
            stream.write(f"one {side}\ntwo {side}\nthree {side}\n")
    page = tmp_path / "page.md"
    options = (str(tmp_path), str(tmp_path / "work"), "--minutes", "7", "--output", str(page))
    attention_study.main(options)

    assert (tmp_path / "work" / "joined.de").read_text() == "one de two de\ntwo de three de\n"
    each = ["compare", "report"]
    assert [command[0] for command in commands] == [
        "preprocess", *each, "report", *each, *each, *["compare"] * 3
    ]  # fmt: skip
    for study, (_, store, folder, grid, limit, *_) in zip(
        attention_study.STUDIES, (each for each in commands if each[0] == "compare"), strict=False
    ):
        assert grid == f"--grid={study.grid}" and limit == "--minutes=7"
        assert (store, folder) == tuple(str(tmp_path / "work" / n) for n in ("store", study.name))
        assert read_grid(study.grid).title
    text = page.read_text()
    assert text.count("| system | BLEU |") == 3 and "trained for 7 minutes" in text
    for line in text.splitlines():
        if line.startswith("!["):
            assert (tmp_path / line.partition("](")[2].removesuffix(")")).is_file()
