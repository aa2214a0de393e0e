"""The table of a comparison: means, spreads, times, tests and formats, of results made up here."""

import csv
import io
import json
import shutil
from dataclasses import replace

import pytest
from program import call
from reruns import new_run

from cli.runs.comparison import table as tables
from cli.runs.comparison.folder import (
    ComparedStore,
    Comparison,
    ComparisonFolder,
    Result,
    Score,
    System,
    Trial,
    Unfit,
    create_folder,
)
from cli.runs.comparison.table import Spread, compare_systems
from cli.runs.directory import RunDirectory
from cli.runs.output import write_lines
from cli.runs.report.content import collect
from cli.runs.report.systems import files_read, subject_of_runs
from cli.terminal.comparison_table import table_json, table_lines
from cli.terminal.report.output import check_outputs
from seq2seq.errors import ConfigError
from seq2seq.evaluation.significance import PairedScore, paired_test
from seq2seq.system.files import write_json

pytestmark = pytest.mark.usefixtures("few_samples")
REFERENCES = [f"one small dog sees {n} cats in the garden" for n in range(12)]
# by system and seed: BLEU of the results, and BLEU of each validation at 10, 20, 30 seconds
MEASURED = {
    ("none", 1): (10.0, [2.0, 6.0, 9.0]),
    ("none", 2): (12.0, [1.0, 7.0, 8.5]),
    ("luong dot", 1): (20.0, [8.0, 15.0, 18.0]),
    ("luong dot", 2): (24.0, [9.0, 16.0, 21.0]),
}


@pytest.fixture
def folder(tmp_path) -> ComparisonFolder:
    systems = [System(name=name, store="main", settings=()) for name in ("none", "luong dot")]
    store = ComparedStore(
        path=tmp_path, sha256="", languages=("en", "de"), test="t.en t.de",
        test_sha256=("", ""), sentences=len(REFERENCES),
    )  # fmt: skip
    comparison = Comparison(
        created="", command_line=(), machine="", versions={}, threads=1, recipe=None,
        seeds=(1, 2, 3), stores={"main": store}, systems=tuple(systems),
        left_out=(Unfit(name="none dot", reason="no effect"),),
    )  # fmt: skip
    folder = create_folder(tmp_path / "out", {"main": (REFERENCES, REFERENCES, None)}, comparison)
    for system in systems:
        for seed in (1, 2):
            write_result(folder, Trial(system, seed))
    diverged = Result(system="none", seed=3, status="diverged", ended="", parameters=10)
    write_json(folder.result_path(Trial(systems[0], 3)), diverged.model_dump(mode="json"))
    return folder


def write_result(folder: ComparisonFolder, trial: Trial) -> None:
    bleu, curve = MEASURED[trial.system.name, trial.seed]
    result = Result(
        system=trial.system.name, seed=trial.seed, status="complete", ended="", parameters=10**6,
        updates=30, target_tokens=3000, seconds=30.0, peak_memory=2**30,
        test_nats_per_token=1.0 + trial.seed,
        bleu=Score(score=bleu, signature="b"), chrf=Score(score=2 * bleu, signature="c"),
        ter=Score(score=90 - bleu, signature="t"),
    )  # fmt: skip
    write_json(folder.result_path(trial), result.model_dump(mode="json"))
    write_lines(folder.translations(trial), translations(trial))
    run = folder.run(trial)
    run.mkdir()
    metrics = (
        {"event": "validation", "update": 10 * n, "nats_per_token": 1.0, "bleu": value,
         "chrf": 1.0, "best_update": 10}
        for n, value in enumerate(curve, start=1)
    )  # fmt: skip
    curves = ({"update": 10 * n, "seconds": 10.0 * n, "tokens": 1000 * n} for n in (1, 2, 3))
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    (run / "curves.jsonl").write_text("".join(json.dumps(line) + "\n" for line in curves))


def translations(trial: Trial) -> list[str]:
    """Every third, second or other line is right, and the others lack words."""
    every = {"none": 4, "luong dot": 2}[trial.system.name] + trial.seed
    return [r if i % every else r.partition(" in ")[0] for i, r in enumerate(REFERENCES)]


def table_of(folder: ComparisonFolder, **options):
    return compare_systems(folder, note=lambda line: None, **options)


def test_measures_are_means_and_deviations_over_the_seeds_that_are_complete(folder):
    none, luong = table_of(folder, significance=False).rows
    assert none.measures["bleu"].mean == 11.0
    assert none.measures["bleu"].deviation == pytest.approx(2**0.5)  # of 10 and 12
    # the mean of two perplexities, not that of their logarithms: e^2 and e^3
    assert none.measures["perplexity"].mean == pytest.approx((7.389056 + 20.085537) / 2)
    assert none.failures == ("seed 3: diverged",) and len(none.results) == 2
    assert luong.measures["tokens_per_second"].mean == 100.0
    assert "aer" not in luong.measures
    assert Spread((3.0,)).deviation is None


def test_times_are_counted_to_what_every_trial_reaches(folder):
    table = table_of(folder, significance=False)
    assert table.target_bleu == 8.0  # the worst trial reaches 8.5
    none, luong = table.rows
    assert none.seconds_to_bleu == Spread((30.0, 30.0))
    assert luong.seconds_to_bleu == Spread((10.0, 10.0))
    none, luong = table_of(folder, significance=False, to_bleu=20.0).rows
    assert none.seconds_to_bleu is None and luong.seconds_to_bleu == Spread((30.0,))


def test_the_best_come_first_and_a_missing_trial_is_counted(folder):
    table = table_of(folder, significance=False, sort="ter")
    assert [row.system.name for row in table.rows] == ["luong dot", "none"]
    table = table_of(folder, significance=False, sort="seconds_to_bleu")
    assert [row.system.name for row in table.rows] == ["luong dot", "none"]
    assert table.pending == 1  # luong dot from seed 3
    for name in ("baseline", "sort"):
        with pytest.raises(ConfigError, match=r"there is no .* 'sideways'"):
            table_of(folder, **{name: "sideways"})


def test_a_test_joins_the_seeds_of_both_systems(folder):
    none, luong = folder.comparison.systems
    row = table_of(folder).rows[1]
    first, second = (
        [line for seed in (1, 2) for line in translations(Trial(system, seed))]
        for system in (none, luong)
    )
    for tested in row.tests:
        assert tested.seeds == (1, 2)
        expected = paired_test(tested.test, first, second, REFERENCES * 2, target_language="de")
        assert list(tested.scores) == expected
    assert table_of(folder).rows[0].tests == ()  # the baseline
    swapped = table_of(folder, baseline="luong dot").rows
    assert swapped[0].tests and not swapped[1].tests


def test_a_report_has_the_order_and_the_baseline_of_the_comparison(folder, monkeypatch):
    monkeypatch.setattr(RunDirectory, "open", RunDirectory)
    folder.result_path(Trial(folder.comparison.systems[0], 1)).unlink()  # of the first system
    subject = subject_of_runs(
        [folder.path], test=None, device="cpu", threads=1, note=lambda line: None
    )
    assert [system.name for system in subject.systems] == ["none", "luong dot"]
    without_runs = [
        replace(system, outputs=tuple(replace(output, run=None) for output in system.outputs))
        for system in reversed(subject.systems)
    ]
    swapped = collect(replace(subject, systems=tuple(without_runs)), note=lambda line: None)
    luong, none = swapped.figures
    assert not luong.tests and none.tests["bootstrap"][0].baseline == luong.quality[1].bleu.score


def test_a_test_that_is_known_is_not_done_again(folder):
    notes: list[str] = []
    compare_systems(folder, note=notes.append)
    assert notes == [
        "testing luong dot against none: bootstrap",
        "testing luong dot against none: randomisation",
    ]
    compare_systems(folder, note=notes.append)
    assert len(notes) == 2
    write_lines(folder.translations(Trial(folder.comparison.systems[1], 1)), REFERENCES)
    compare_systems(folder, note=notes.append)
    assert len(notes) == 4


def test_every_format_has_the_figures(folder):
    table = table_of(folder)
    text = list(table_lines(table, "text"))
    titles = "system seeds perplexity BLEU chrF TER parameters updates tokens/s to BLEU 8 memory"
    assert text[0].split() == titles.split()
    assert "2 of 3" in text[1] and "11.0 ± 1.4" in text[1] and "0:30" in text[1]
    assert any(line.startswith("p (bs): paired bootstrap") and "Clark" in line for line in text)
    assert "left out: none dot: no effect" in text and "none, seed 3: diverged" in text
    assert "not finished: 1 trial without a result" in text
    markdown = list(table_lines(table, "markdown"))
    assert markdown[1].count("---") == 11 and markdown[2].startswith("| none | 2 of 3 |")
    latex = "\n".join(table_lines(table, "latex"))
    assert r"11.0 $\pm$ 1.4 &" in latex and latex.count(r"\bottomrule") == 2
    assert all(line.startswith("%") for line in latex.split("\\end{tabular}\n")[-1].split("\n"))
    none, luong = csv.DictReader(io.StringIO("\n".join(table_lines(table, "csv"))))
    assert float(none["bleu"]) == 11.0 and none["BLEU_p_bootstrap"] == ""
    assert 0 < float(luong["BLEU_p_bootstrap"]) <= 1


def test_no_format_has_a_p_value_of_equal_scores(folder):
    table = table_of(folder, significance=False)
    equal = tables.Tested("bootstrap", (1,), (PairedScore("BLEU", 9.0, 9.0, 0.001, ""),))
    table = replace(table, rows=tuple(replace(row, tests=(equal,)) for row in table.rows))
    (row, _) = csv.DictReader(io.StringIO("\n".join(table_lines(table, "csv"))))
    assert row["BLEU_p_bootstrap"] == ""
    assert table_json(table)["systems"][0]["tests"][0]["scores"][0]["p"] is None
    assert not any("0.001" in line for line in table_lines(table, "markdown"))


def test_latex_escapes_the_names_of_settings(folder):
    (row, *_) = table_of(folder, significance=False).rows
    system = row.system.model_copy(update={"name": "a_b & 50 %"})
    write_json(
        folder.description,
        folder.comparison.model_copy(update={"systems": (system,)}).model_dump(mode="json"),
    )
    shown = list(table_lines(table_of(ComparisonFolder(folder.path)), "latex"))
    assert any(line.startswith(r"a\_b \& 50 \% & ") for line in shown)


def test_the_program_shows_a_comparison(folder):
    result = call("compare", folder.path, "--show", "--sort", "bleu", "--no-significance")
    assert result.code == 0 and result.lines[1].startswith("luong dot")
    values = json.loads(call("compare", folder.path, "--show", "--json").out)
    assert values["systems"][0]["measures"]["bleu"] == {
        "mean": 11.0, "deviation": pytest.approx(2**0.5), "values": [10.0, 12.0],
    }  # fmt: skip
    assert values["systems"][1]["tests"][0]["scores"][0]["metric"] == "BLEU"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--show", "--seeds", "2"], "--seeds has no effect here"),
        (["--sort", "bleu"], "--sort has no effect here"),
        (["--show", "--json", "--format", "csv"], "--json and --format both say how to write"),
        ([], "there is no OUT, a folder for the trials"),
    ],
)
def test_options_of_the_other_use_are_refused(folder: ComparisonFolder, options, message):
    result = call("compare", folder.path, *options)
    assert result.code == 2 and message in result.err


def test_the_page_of_a_comparison_may_lie_in_its_folder_and_replaces_nothing_else(
    folder, tmp_path, store
):
    words, page = tmp_path / "words", folder.path / "report.html"
    words.write_text("red\n")
    for trial in folder.complete:
        shutil.rmtree(folder.run(trial))
        new_run(folder.run(trial), store, search={"vocabulary": str(words)})
    begun = folder.run(Trial(System(name="none", store="main", settings=()), 3))
    begun.mkdir()
    (begun / "config.toml").write_text("")
    read = files_read([folder.path])
    check_outputs(page, None, inputs=read, overwrite=False)
    page.write_text("of yesterday")
    check_outputs(page, None, inputs=read, overwrite=True)
    trial = folder.complete[0]
    for path in (
        words,
        store.path / "meta.json",
        folder.description,
        folder.translations(trial),
        folder.result_path(trial),
        folder.run(trial) / "config.toml",
        begun / "config.toml",
    ):
        with pytest.raises(ConfigError, match=r"would replace .*, an input"):
            check_outputs(path, None, inputs=read, overwrite=True)
