"""`seq2seq compare`: which systems a grid has, what a trial measures, and how one goes on."""

import errno
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from program import call, forking, started
from reruns import MODEL, SEARCH, TRAINING

import cli.runs.comparison.engine
from cli.runs.comparison import trial
from cli.runs.comparison.folder import ComparisonFolder, Result
from cli.runs.comparison.forecast import Cost, cost_of, seconds_left, share_trained, time_left
from cli.runs.comparison.grid import MAIN_STORE, StoreFiles, build_grid, read_grid, split_values
from cli.runs.comparison.plan import Limits, Plan, default_threads, make_plan, opened, tasks_left
from cli.runs.comparison.trial import Task, measure
from cli.runs.config import resolve
from cli.runs.directory import RunDirectory
from cli.runs.recorder import Recorder
from cli.runs.trials import user_error_of
from data.corpus import SentencePair
from data.token_store import TokenStore
from seq2seq.errors import CheckpointError, ConfigError, ResourceError
from seq2seq.system.cores import usable_cores
from seq2seq.system.files import write_json

SETTINGS = [
    *(f"model.{name}={value}" for name, value in MODEL.items()),
    *(f"training.{name}={value}" for name, value in TRAINING.items()),
    *(f"search.{name}={value}" for name, value in SEARCH.items()),
]


FOUR = ["model.attention_size=4"]  # which two heads divide


def plan_of(
    store: Path, *settings: str, seeds: int = 1, test=None, reference_links=None, **flags
) -> Plan:
    chosen = {"attention": None, "score": None, "recipe": None} | flags
    grid = build_grid(None, settings=[*SETTINGS, *settings], seeds=seeds, **chosen)
    return make_plan(
        grid, StoreFiles(path=store, test=test, reference_links=reference_links), Limits(), print
    )


# The grid


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("x", ["x"]),
        ("1,2 , 4", ["1", "2", "4"]),
        ("[1, 2],[3]", ["[1, 2]", "[3]"]),
        ("{a = 1, b = 2}", ["{a = 1, b = 2}"]),
        ('"a,b",c', ['"a,b"', "c"]),
        ("1,,2", ["1", "", "2"]),
    ],
)
def test_commas_separate_values_but_not_inside_of_one(text, values):
    assert split_values(text) == values


def test_a_score_without_attention_makes_no_further_system(store_path):
    plan = plan_of(store_path, attention="luong,none,bahdanau", score="general,additive")
    names = [system.name for system in plan.systems]
    assert names == [
        "luong general", "luong additive", "none", "bahdanau general", "bahdanau additive",
    ]  # fmt: skip
    (unfit,) = plan.left_out
    assert unfit.name == "none additive"
    assert unfit.reason == "model.score has no effect without attention; the same as none"


def test_where_one_system_cannot_have_a_lexicon_none_is_given_one(store_path):
    def lexicons(*settings, **flags):
        plan = plan_of(store_path, *settings, **flags)
        return {name: config.model.lexicon for name, config in plan.configs.items()}

    assert lexicons(attention="luong,bahdanau") == {"luong": 50, "bahdanau": 50}
    assert lexicons(attention="luong,none") == {"luong": 0, "none": 0}
    asked = lexicons("model.lexicon=7", attention="luong,none")
    assert asked["luong"] == 7


def test_a_trial_that_differs_in_nothing_that_has_an_effect_is_left_out(tmp_path, store_path):
    file = tmp_path / "grid.toml"
    entries = (f'[[trial]]\nname = "{s}"\nset = ["model.score={s}"]\n' for s in ("dot", "general"))
    file.write_text('set = ["model.attention=none"]\n' + "".join(entries))
    grid = build_grid(
        read_grid(file), attention=None, score=None, recipe=None, seeds=1, settings=SETTINGS
    )
    plan = make_plan(grid, StoreFiles(path=store_path), Limits(), print)
    assert [system.name for system in plan.systems] == ["dot"]
    assert [unfit.reason for unfit in plan.left_out] == ["the same as dot"]


def test_a_combination_that_is_refused_is_left_out_with_the_reason(store_path):
    plan = plan_of(store_path, *FOUR, "model.heads=1,2,3", attention="luong,none")
    names = [system.name for system in plan.systems]
    assert names == ["luong heads=1", "luong heads=2", "none"]
    reasons = {unfit.name: unfit.reason for unfit in plan.left_out}
    assert "does not divide" in reasons["luong heads=3"]
    assert "with model.attention none it has no effect" in reasons["none heads=2"]


def test_nothing_is_left_of_a_grid_whose_every_point_is_refused(store_path):
    with pytest.raises(ConfigError, match="does not divide"):
        plan_of(store_path, "model.heads=3,7")


def test_a_setting_that_an_option_gives_once_is_no_dimension_any_more(tmp_path):
    file = tmp_path / "grid.toml"
    file.write_text('[grid]\n"model.heads" = [1, 2]\n"model.project_values" = [true, false]\n')
    grid = build_grid(
        read_grid(file), attention=None, score=None, recipe=None, seeds=2,
        settings=["model.heads=4"],
    )  # fmt: skip
    assert grid.dimensions == (("model.project_values", ("true", "false")),)
    assert grid.options == ("model.heads=4",) and grid.seeds == (1, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["model.heads=1,1"], "model.heads has the values 1,1"),
        (["model.heads=1,"], "model.heads has the values 1,"),
        (["model.head=1,2"], "unknown setting"),
    ],
)
def test_a_dimension_that_cannot_be_meant_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        build_grid(None, attention=None, score=None, recipe=None, seeds=1, settings=settings)


def test_a_dimension_of_a_file_without_values_is_refused(tmp_path):
    file = tmp_path / "grid.toml"
    file.write_text('[grid]\n"model.score" = []\n')
    with pytest.raises(ConfigError, match=r"model\.score has the values none"):
        build_grid(
            read_grid(file), attention=None, score=None, recipe=None, seeds=None, settings=[]
        )


def test_settings_of_data_are_those_of_the_store(store_path):
    with pytest.raises(ConfigError, match=r"data\.vocabulary_size is fixed in the token store"):
        plan_of(store_path, "data.vocabulary_size=300,400")


def test_trials_of_a_file_have_names_and_stores(tmp_path, store_path):
    file = tmp_path / "grid.toml"
    shutil.copytree(store_path, tmp_path / "other")
    file.write_text(
        'seeds = [3, 5, 3]\nset = ["model.dropout=0.1"]\n'
        '[grid]\n"model.score" = ["dot", "general"]\n'
        '[[trial]]\nname = "here"\n[[trial]]\nname = "there"\nwhy = "other data"\n'
        'store = "b"\nset = ["model.dropout=0.2"]\n[stores.b]\npath = "other"\n'
    )
    grid = build_grid(
        read_grid(file), attention=None, score=None, recipe=None, seeds=None, settings=SETTINGS
    )
    plan = make_plan(grid, StoreFiles(path=store_path), Limits(updates=7), print)
    assert grid.seeds == (3, 5)
    assert [(s.name, s.store) for s in plan.systems] == [
        ("here dot", MAIN_STORE), ("here general", MAIN_STORE),
        ("there dot", "b"), ("there general", "b"),
    ]  # fmt: skip
    assert [t.name for t in plan.trials[:2]] == ["here-dot-seed3", "here-general-seed3"]
    config = plan.config(plan.trials[-1])
    assert config.training.seed == 5 and config.training.updates == 7
    assert config.model.dropout == 0.3  # the option comes on top of the file
    assert plan.stores["b"].path == tmp_path / "other"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[trial]]\nname = 'a'\nstore = 'b'\n", "store 'b', which is not there"),
        ("trials = 3\n", "trials: Extra inputs"),
        ("seeds = [\n", "is not valid TOML"),
        ("[[trial]]\nname = 'a'\n" * 2, "two trials are called 'a'"),
        ("[stores.main]\npath = 'b'\n", "store 'main' is the STORE of the command"),
    ],
)
def test_a_file_that_is_no_grid_is_refused_by_its_name(tmp_path, text, message):
    file = tmp_path / "grid.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=f"grid.toml.*{message}"):
        read_grid(file)


def test_every_grid_of_the_repository_can_be_read():
    files = [
        path for path in Path("scripts/sweeps").glob("*.toml") if "[[trial]]" in path.read_text()
    ]
    assert len(files) == 4
    for path in files:
        assert all(entry.why for entry in read_grid(path).trial), path


def test_a_limit_of_minutes_leaves_no_limit_of_updates(store_path):
    grid = build_grid(None, attention=None, score=None, recipe="tiny", seeds=1, settings=[])
    plan = make_plan(grid, StoreFiles(path=store_path), Limits(minutes=2.0), print)
    training = plan.config(plan.trials[0]).training
    assert training.minutes == 2.0 and training.updates >= 1_000_000


# A trial


@pytest.fixture
def task(tmp_path, store_path) -> Task:
    """The one trial of a comparison on the validation set, which people linked."""
    reference_links = tmp_path / "reference_links"
    reference_links.write_text("0-0\n" * 12)
    plan = plan_of(store_path, reference_links=reference_links)
    with opened(tmp_path / "out", plan, threads=None, jobs=1) as folder:
        (only,) = tasks_left(folder, plan, device="cpu", threads=1)
    return only


def test_a_trial_is_a_run_and_measures_what_validation_measures(task, monkeypatch):
    monkeypatch.setattr("cli.runs.comparison.trial.lifetime_peak", lambda: 60_000_000)
    events: list[str] = []
    measure(task, lambda event: events.append(event["event"]))
    run = RunDirectory.open(task.run)
    result = Result.model_validate(json.loads(task.result.read_text()))
    assert result.status == "complete" and result.updates == 20 and result.threads == 1
    validations = {v.update: v.scores for v in run.read_metrics() if hasattr(v, "scores")}
    # the test set is the validation set: the reference's nats are those of the best validation
    best = validations[result.best_update]
    assert result.test_nats_per_token == pytest.approx(best.nats_per_token, abs=1e-5)
    assert result.bleu and result.bleu.signature.startswith("nrefs:1|case:mixed")
    assert len(task.translations.read_text().splitlines()) == 12
    assert result.aer is not None and 0 <= result.aer <= 1
    assert result.peak_memory == 60_000_000
    assert events[-1] == "translating" and "validation" in events
    trained, scored = run.metrics.read_bytes(), result.bleu
    task.result.unlink()
    measure(task, lambda event: None)  # again, as after a kill before the result was written
    assert run.metrics.read_bytes() == trained
    assert Result.model_validate(json.loads(task.result.read_text())).bleu == scored


@pytest.mark.parametrize(
    ("settings", "head", "shifts"),
    [
        ({"guided_alignment": 0.1, "guided_alignment_head": 2}, 2, (0,)),
        ({"guided_alignment": 0.1, "guided_alignment_shift": 1}, None, (1,)),
        ({}, None, (0, 1, -1)),
    ],
    ids=str,
)
def test_aer_is_that_of_the_head_and_shift_that_guidance_taught(
    task, monkeypatch, settings, head, shifts
):
    class Linker:
        def __init__(self, translator, head):
            self.head = head

        def links(self, pairs, shifts):
            asked.append((self.head, tuple(shifts)))
            return [{shift: {(0, 0)} for shift in shifts} for _ in pairs]

    asked: list[tuple[int | None, tuple[int, ...]]] = []
    monkeypatch.setattr(trial, "Linker", Linker)
    config = resolve({"model": {"heads": 2}, "training": settings})
    translator = SimpleNamespace(has_attention=True, run_config=config)
    measured = trial._alignment_quality(task, translator, [SentencePair("a", "b")] * 12)
    assert measured == {"aer": 0.0, "aer_shift": shifts[0]} and asked == [(head, shifts)]


def test_a_trial_that_diverges_has_that_as_its_result(task, store_path):
    config = task.config.model_copy(
        update={
            "training": task.config.training.model_copy(
                update={"learning_rate": 1e30, "warmup": 0, "clip_norm": 1e30}
            )
        }
    )
    measure(replace(task, config=config), lambda event: None)
    result = Result.model_validate(json.loads(task.result.read_text()))
    assert result.status == "diverged" and result.bleu is None and result.parameters > 0
    cost = cost_of(config, TokenStore.open(store_path), device="cpu", threads=1)
    assert cost.parameters == result.parameters  # the forecast is made for the others all the same


@pytest.mark.parametrize("learnt", ["learnt_table", "learnt_links"])
def test_a_trial_that_learns_beyond_the_memory_has_that_as_its_result(task, monkeypatch, learnt):
    def too_much(store, **_):
        raise MemoryError

    monkeypatch.setattr(f"cli.runs.directory.{learnt}", too_much)
    settings = {"model": {"lexicon": 5}, "training": {"guided_alignment": 0.5}}
    config = resolve(task.config.model_dump(exclude_none=True), settings)
    measure(replace(task, config=config), lambda event: None)
    result = Result.model_validate(json.loads(task.result.read_text()))
    assert result.status == "out of memory" and result.parameters > 0 and not task.run.exists()


@pytest.mark.parametrize("step", ["Translator.translate", "Translator.score_pairs", "score_corpus"])
def test_a_trial_whose_test_set_needs_too_much_memory_has_that_as_its_result(
    task, monkeypatch, step
):
    def too_much(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(f"cli.runs.comparison.trial.{step}", too_much)
    measure(task, lambda event: None)
    result = Result.model_validate(json.loads(task.result.read_text()))
    assert (result.status, result.ended) == ("out of memory", "out of memory for the test set")
    assert result.parameters > 0 and result.bleu is None


def test_the_share_that_is_trained_is_that_of_the_last_checkpoint(task):
    assert share_trained(task) == 0.0
    measure(task, lambda event: None)
    assert share_trained(task) == 1.0
    state = RunDirectory.open(task.run).checkpoint("last") / "state.json"
    state.write_bytes(state.read_bytes()[:-9])  # training goes on from another one
    assert share_trained(task) == 0.0


def test_jobs_share_the_time(task):
    cost = {task.system: Cost(parameters=1, seconds=60.0)}
    assert seconds_left([task] * 5, cost, jobs=2) == 180.0


def test_time_left_follows_the_pace_since_the_start():
    begun = time_left(0.82, before=0.8, elapsed=10.0, planned=100.0)
    assert begun == 90.0  # by the plan
    assert time_left(0.9, before=0.8, elapsed=60.0, planned=100.0) == pytest.approx(60.0)


def test_a_full_disk_is_explained_with_the_command_of_the_comparison(task, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "metrics.jsonl")

    monkeypatch.setattr(Recorder, "update", full)
    with pytest.raises(ResourceError, match="No space left") as caught:
        measure(task, lambda event: None)
    assert caught.value.hint.endswith("then continue with the same command")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "a/b: No space left on device"),
        (MemoryError(), "out of memory"),
        (ConfigError("heads"), "heads"),
    ],
)
def test_what_a_person_can_put_right_is_no_bug_of_a_trial(error, message):
    reason = user_error_of(error)
    assert reason and reason.message == message
    assert user_error_of(ValueError("a bug")) is None


# The folder


def test_other_settings_or_data_for_what_was_begun_are_refused(tmp_path, store_path, task):
    measure(task, lambda event: None)
    out = tmp_path / "out"
    reference_links = tmp_path / "reference_links"

    def begin(plan: Plan) -> list[Task]:
        with opened(out, plan, threads=None, jobs=1) as folder:
            return tasks_left(folder, plan, device="cpu", threads=1)

    assert begin(plan_of(store_path, reference_links=reference_links)) == []
    with pytest.raises(ConfigError, match=r"another training\.learning_rate"):
        begin(plan_of(store_path, "training.learning_rate=0.5", reference_links=reference_links))
    with pytest.raises(ConfigError, match="links for AER"):
        begin(plan_of(store_path))
    more = begin(
        plan_of(store_path, reference_links=reference_links, seeds=2, attention="luong,none")
    )
    assert [each.name for each in more] == [
        "luong-seed1",
        "none-seed1",
        "luong-seed2",
        "none-seed2",
    ]
    comparison = ComparisonFolder.open(out).comparison
    assert [system.name for system in comparison.systems] == ["default", "luong", "none"]
    assert comparison.seeds == (1, 2)
    for attention in ("none,luong", None):  # the first stays the baseline
        begin(plan_of(store_path, reference_links=reference_links, attention=attention))
        assert ComparisonFolder.open(out).comparison.systems[0].name == "default"


def test_a_system_stays_on_its_store(tmp_path, store_path):
    shutil.copytree(store_path, tmp_path / "other")
    file = tmp_path / "grid.toml"

    def plan(store: str) -> Plan:
        file.write_text(
            f'[[trial]]\nname = "a"\n[[trial]]\nname = "b"\nset = ["model.dropout=0.2"]\n'
            f'store = "{store}"\n[stores.other]\npath = "other"\n'
        )
        grid = build_grid(
            read_grid(file), attention=None, score=None, recipe="tiny", seeds=1, settings=[]
        )
        return make_plan(grid, StoreFiles(path=store_path), Limits(), print)

    with opened(tmp_path / "out", plan("other"), threads=1, jobs=1):
        pass
    with (
        pytest.raises(ConfigError, match="has b on the store other"),
        opened(tmp_path / "out", plan("main"), threads=1, jobs=1),
    ):
        pass


def test_a_folder_of_something_else_is_left_alone(tmp_path, store_path):
    (tmp_path / "out").mkdir()
    with (
        pytest.raises(ConfigError, match="is not the folder of a comparison"),
        opened(tmp_path / "out", plan_of(store_path), threads=None, jobs=1),
    ):
        pass
    with pytest.raises(CheckpointError, match="is not the folder of a comparison"):
        ComparisonFolder.open(tmp_path / "out")


def test_damage_is_named(tmp_path, task):
    folder = ComparisonFolder.open(tmp_path / "out")
    task.result.write_text("{")
    with pytest.raises(CheckpointError, match=r"results/default-seed1\.json is damaged"):
        _ = folder.results
    write_json(folder.description, {"format_version": 9})
    with pytest.raises(CheckpointError, match="format version 9"):
        ComparisonFolder.open(folder.path)


def test_threads_are_shared_out():
    assert default_threads(10_000) == 1
    assert default_threads(1) == usable_cores()


# The program


UPDATES = 60


def command(store: Path, out: Path, *, jobs: int) -> list[object]:
    sets = [
        f"--set={each}" for each in (*SETTINGS, f"training.updates={UPDATES}", "training.samples=0")
    ]
    return ["compare", store, out, "--attention=luong,none", "--threads=1", f"--jobs={jobs}", *sets]


def outcomes(out: Path) -> dict[str, object]:
    """The result of each trial, by name, without its times and memory."""
    timed = {"seconds", "peak_memory", "translation_seconds"}
    return {
        trial.name: result.model_dump(exclude=timed)
        for trial, result in ComparisonFolder.open(out).results.items()
    }


def wait_for_the_end_of_training(run: RunDirectory, deadline: float) -> None:
    """A trial notices that its comparison was killed a moment later."""
    while time.monotonic() < deadline:
        try:
            with run.lock():
                return
        except ResourceError:
            time.sleep(0.02)
    raise AssertionError(f"{run.path} is still being trained")


@pytest.mark.skipif(not hasattr(os, "setsid"), reason="needs process groups")
def test_a_killed_comparison_goes_on_and_ends_as_an_undisturbed_one(
    tmp_path, store_path, monkeypatch
):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    program = started(*command(store_path, killed, jobs=1), stderr=subprocess.DEVNULL)
    metrics = killed / "trials" / "luong-seed1" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.is_file() and '"validation"' in metrics.read_text()):
        assert program.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    program.send_signal(signal.SIGKILL)
    program.wait()
    wait_for_the_end_of_training(RunDirectory.open(metrics.parent), deadline)
    assert not (killed / "results" / "luong-seed1.json").exists()
    monkeypatch.setattr(cli.runs.comparison.engine, "get_context", forking)
    result = call(*command(store_path, killed, jobs=2))
    assert result.code == 0, result.err
    updates = f"training.updates={UPDATES}"
    plan = plan_of(store_path, updates, "training.samples=0", attention="luong,none")
    with opened(whole, plan, threads=1, jobs=1) as folder:
        for task in tasks_left(folder, plan, device="cpu", threads=1):
            measure(task, lambda event: None)
    assert outcomes(killed) == outcomes(whole) and len(outcomes(whole)) == 2
    assert "2 of them done" in call(*command(store_path, killed, jobs=2)).err


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path, store_path):
    out = tmp_path / "out"
    result = call(
        *["compare", store_path, out, "--attention", "luong,none", "--score", "general,additive"],
        *["--minutes", "1", "--seeds", "3", "--jobs", "2", "--threads", "1", "--dry-run"],
    )
    assert result.code == 0 and not out.exists()
    assert "3 systems, 3 seeds each: 9 trials; 2 jobs of 1 thread" in result.lines
    assert "left out: none additive: model.score has no effect" in result.out
    assert result.lines[-1].startswith("expected time: 5:")  # five minutes on one of two jobs
    assert "test set: validation set, 12 sentences" in result.lines
    by_updates = ("--updates", "30", "--set=training.decay=plateau", "--threads=1", "--dry-run")
    timed = call("compare", store_path, out, "--attention", "luong", *by_updates)
    assert timed.code == 0, timed.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--minutes", "1", "--updates", "3"], "--minutes and --updates both end a trial"),
        (["--test-source", "x"], "a test set has two sides"),
        (["--set", "model.heads=2,2"], "model.heads has the values 2,2"),
        (["--attention", "sideways"], "model.attention is 'sideways'"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(tmp_path, store_path, options, message):
    result = call("compare", store_path, tmp_path / "out", *options)
    assert result.code == 2 and message in result.err
