"""`train --tune`: the space, searches whose trials are computed by a formula, and a real one."""

import json
import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from program import call
from reruns import MODEL, Silent, fit_timed_by, interrupt, new_run, train

import cli.runs.tuning.search
import cli.terminal.tuning
from cli.runs import learnt_links
from cli.runs.config import RunConfig, load_config, resolve
from cli.runs.directory import RunDirectory
from cli.runs.interruption import Interrupted
from cli.runs.training import Outcome, train_run
from cli.runs.training_job import NewRun
from cli.runs.tuning.journal import End, Journal, Trial
from cli.runs.tuning.search import WHOLE_TRIALS, EndsAfter, tune
from cli.runs.tuning.space import space_around, with_settings
from cli.runs.tuning.study import propose
from cli.runs.tuning.table import table_lines
from data.token_store import TokenStore
from seq2seq.errors import CheckpointError, ConfigError, DivergenceError, ResourceError
from seq2seq.training.events import TrainingState, Validation, ValidationScores

TRAINING = {"updates": 1_000_000, "minutes": 10.0, "batch_tokens": 800, "learning_rate": 1e-3}
BEST_RATE = 2e-3


def config_of(model: dict[str, object] | None = None, **training: object) -> RunConfig:
    return resolve({"model": MODEL | (model or {}), "training": TRAINING | training})


def new_in(folder: Path, store: TokenStore) -> NewRun:
    given = frozenset({"model.embedding_size", "model.attention"})
    config = config_of().model_copy(update={"data": store.config})
    return NewRun(folder / "run", config, given, store, "cpu")


@pytest.fixture
def new(tmp_path, store) -> NewRun:
    return new_in(tmp_path, store)


class ByFormula:
    """Trains nothing: the score falls with the distance of the learning rate from the best one, and
    rises with the time."""

    def __init__(self, on: Callable[[int, int], None] = lambda trial, quarter: None) -> None:
        """on: is called before each quarter of a trial, with their numbers from 1"""
        self.on, self.quarters = on, list[tuple[int, int]]()

    def __call__(self, run: RunDirectory, ends_after: EndsAfter) -> Outcome:
        training, number = run.config.training, int(run.path.name.removeprefix("trial-"))
        assert training.minutes
        done = run.path / "quarters"  # in place of a checkpoint
        begun = int(done.read_text()) if done.exists() else 0
        score = 40 - 20 * abs(math.log(training.learning_rate / BEST_RATE))
        for quarter in range(begun + 1, 5):
            self.on(number, quarter)
            self.quarters.append((number, quarter))
            done.write_text(str(quarter))
            state = TrainingState(
                update=quarter,
                seconds=15 * training.minutes * quarter,
                best_update=quarter,
                best_nats=2.0,
                best_score=score * quarter / 4,
            )
            if reason := ends_after(Validation(state, ValidationScores(2.0), improved=True)):
                return Outcome(reason, state, trained=True)
        return Outcome("the minutes are over", state, trained=True)


def journal(new: NewRun) -> list[Trial]:
    return Journal(new.path.with_name("run.trials") / "trials.jsonl").trials


def search(new: NewRun, train: ByFormula, minutes: float = 100) -> NewRun:
    return tune(new, minutes, train=train, note=lambda line: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, store_path) -> tuple[NewRun, NewRun, ByFormula]:
    """A run, the same with the settings that were found, and what trained the trials; read only."""
    new = new_in(tmp_path_factory.mktemp("finished"), TokenStore.open(store_path))
    formula = ByFormula()
    return new, search(new, formula), formula


@pytest.fixture
def copied(new, finished) -> NewRun:
    """A run whose search is finished, in a folder of its own."""
    shutil.copytree(finished[0].path.with_name("run.trials"), new.path.with_name("run.trials"))
    return new


def test_the_first_trial_is_the_default(finished):
    new, _, _ = finished
    folder = new.path.with_name("run.trials")
    config = load_config(folder / "trial-1" / "config.toml")
    assert config.model == new.config.model
    assert config.training.learning_rate == new.config.training.learning_rate
    assert load_config(folder / "trial-2" / "config.toml").model != new.config.model


def test_given_settings_are_those_of_every_trial(new):
    given = {"training.batch_tokens", "model.encoder_size", "model.dropout"}
    search(replace(new, given=new.given | given), ByFormula())
    folder = new.path.with_name("run.trials")
    trials = [load_config(path / "config.toml") for path in folder.glob("trial-*")]
    assert len(trials) >= 10
    assert {each.training.batch_tokens for each in trials} == {800}
    assert {(each.model.encoder_size, each.model.decoder_size) for each in trials} == {(4, 8)}
    assert {each.model.dropout for each in trials} == {MODEL["dropout"]}
    assert len({each.model.embedding_dropout for each in trials}) > 5


def test_a_pruned_trial_is_recorded_and_saves_time_for_others(finished):
    new, _, formula = finished
    trials = journal(new)
    ends = [trial.end for trial in trials if trial.end]
    assert len(ends) == len(trials) > WHOLE_TRIALS  # whole ones would have filled the time
    assert trials[0].end and trials[0].end.result == "complete"
    pruned = [trial for trial in trials if trial.end and trial.end.result == "pruned"]
    assert len(pruned) > len(trials) / 3
    for trial in pruned:
        assert trial.validations[-1].percent in (50, 75)  # the first ones after 30 % and 60 %
        assert (trial.number, 4) not in formula.quarters
        better = [
            other for other in trials if other.number < trial.number
            and rank(other) >= rank(trial)
        ]  # fmt: skip
        assert better
    seconds = sum(end.seconds for end in ends)
    assert 95 * 60 <= seconds <= 105 * 60


def rank(trial: Trial) -> float:
    return -abs(math.log(trial.settings["training.learning_rate"] / BEST_RATE))


def test_the_run_has_the_settings_of_the_best_trial(finished, tmp_path):
    new, tuned, _ = finished
    complete = [t for t in journal(new) if t.end and t.end.result == "complete"]
    best = max(complete, key=rank)
    assert rank(best) > rank(complete[0])
    assert tuned.config == with_settings(new.config, best.settings)
    assert tuned.config.training.minutes == 10 and tuned.config.training.average == "none"
    run = replace(tuned, path=tmp_path / "run").create().run
    provenance = json.loads((run.path / "provenance.json").read_text())["tuned"]
    assert (provenance["trial"], provenance["settings"]) == (best.number, best.settings)
    assert provenance["count"] == len(journal(new))
    assert RunDirectory.open(run.path).config.model == tuned.config.model


def test_the_best_trials_come_first_in_the_table(finished):
    new, _, _ = finished
    lines = new.path.with_name("run.trials").joinpath("trials.txt").read_text().splitlines()
    assert lines == table_lines(journal(new), "chrf")
    results = [line.split()[1] for line in lines[1:]]
    assert results == sorted(results) and {"complete", "pruned"} == set(results)
    scores = [float(line.split()[2]) for line in lines[1:] if "complete" in line]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(("trial", "quarter"), [(1, 1), (1, 3), (2, 2), (4, 1)])
def test_an_interrupted_search_goes_on_with_the_same_trials(new, finished, trial, quarter):
    def stop(*now: int) -> None:
        if now == (trial, quarter):
            raise Interrupted(2)

    with pytest.raises(Interrupted, match=r"run\.trials.*same command"):
        search(new, ByFormula(stop))
    formula = ByFormula()
    search(new, formula)
    assert formula.quarters[0] == (trial, quarter)
    assert journal(new) == journal(finished[0])


def test_a_killed_search_goes_on_without_its_last_line(new):
    def kill(*now: int) -> None:
        if now == (3, 1):
            raise Killed

    class Killed(BaseException):
        pass

    with pytest.raises(Killed):
        search(new, ByFormula(kill))
    path = new.path.with_name("run.trials") / "trials.jsonl"
    path.write_bytes(path.read_bytes() + b'{"trial":3,"event":"vali')
    search(new, ByFormula())
    assert [trial.number for trial in journal(new)] == list(range(1, len(journal(new)) + 1))
    assert all(trial.end for trial in journal(new))


def test_links_are_learnt_once_for_a_search_and_its_run(new, monkeypatch):
    monkeypatch.setattr(learnt_links, "LARGE", 10)
    config = config_of(guided_alignment=0.5).model_copy(update={"data": new.store.config})
    said = list[str]()
    guided = replace(new, config=config)
    tune(guided, 30, train=ByFormula(), note=said.append).create(said.append)
    assert len(journal(guided)) > 1
    assert [line.startswith("learning links of ") for line in said].count(True) == 1


def test_a_finished_search_trains_nothing_more(copied, finished):
    formula = ByFormula()
    assert search(copied, formula).config == finished[1].config and not formula.quarters


def test_a_search_with_more_minutes_continues(copied):
    before = journal(copied)
    search(copied, ByFormula(), minutes=130)
    assert journal(copied)[: len(before)] == before and len(journal(copied)) > len(before)


def test_a_search_with_other_options_is_refused(copied):
    other = resolve(copied.config.model_dump(exclude_none=True), {"training": {"seed": 2}})
    with pytest.raises(ConfigError, match="other options or other data"):
        search(replace(copied, config=other), ByFormula())
    with pytest.raises(ConfigError, match="other options or other data"):
        search(replace(copied, given=frozenset({"model.dropout"})), ByFormula())


def test_a_damaged_journal_is_refused(copied):
    path = copied.path.with_name("run.trials") / "trials.jsonl"
    path.write_text(path.read_text().replace('"percent":25', '"percent":"no"', 1))
    with pytest.raises(CheckpointError, match=r"trials\.jsonl is damaged"):
        search(copied, ByFormula())


def test_a_trial_that_diverges_is_recorded_and_the_search_goes_on(new):
    def diverge(trial: int, quarter: int) -> None:
        if trial in (1, 3) and quarter == 2:
            raise DivergenceError("planted")

    search(new, ByFormula(diverge))
    results = [trial.end.result for trial in journal(new) if trial.end]
    assert [i for i, result in enumerate(results, 1) if result == "diverged"] == [1, 3]
    assert "complete" in results


def test_a_search_whose_trials_all_diverge_ends(new, monkeypatch):
    monkeypatch.setattr(cli.runs.tuning.search, "SHORTEST", 0.5)

    def diverge(trial: int, quarter: int) -> None:
        raise DivergenceError("planted")

    with pytest.raises(DivergenceError, match="none of 20 trials"):
        search(new, ByFormula(diverge))


@pytest.mark.parametrize("error", [MemoryError(), None], ids=["not explained", "explained"])
def test_too_little_memory_ends_a_trial_but_of_the_default_it_ends_the_search(new, error):
    failing = 2

    def fail(trial: int, quarter: int) -> None:
        if trial == failing:
            raise error or ResourceError("out of memory for a batch") from MemoryError()

    search(new, ByFormula(fail))
    assert journal(new)[1].end and journal(new)[1].end.result == "out of memory"
    shutil.rmtree(new.path.with_name("run.trials"))
    failing = 1
    with pytest.raises(ResourceError, match="out of memory"):
        search(new, ByFormula(fail))
    assert not new.path.with_name("run.trials").exists()


def test_a_folder_of_something_else_is_left_alone(new):
    folder = new.path.with_name("run.trials")
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="has no search for settings in it"):
        search(new, ByFormula())
    assert [each.name for each in folder.iterdir()] == ["notes.txt"]


def test_a_full_disk_ends_the_search(new):
    def fail(trial: int, quarter: int) -> None:
        if trial == 3:
            raise ResourceError("no space left")

    with pytest.raises(ResourceError, match="no space"):
        search(new, ByFormula(fail))
    assert [bool(trial.end) for trial in journal(new)] == [True, True, False]


def test_a_trial_is_a_sixth_of_the_search_where_the_run_is_longer_or_ends_by_updates(new):
    for training in ({"minutes": 60.0}, {"minutes": None, "updates": 500}):
        config = resolve(
            new.config.model_dump(exclude_none=True) | {"training": TRAINING | training}
        )
        search(replace(new, config=config), ByFormula(), minutes=12)
        folder = new.path.with_name("run.trials")
        found = {load_config(p / "config.toml").training.minutes for p in folder.glob("trial-*")}
        assert found == {2.0}
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("minutes", "training"), [(0, {}), (-1, {}), (float("nan"), {}), (10, {"updates": 0})]
)
def test_a_search_of_nothing_is_refused(new, minutes, training):
    with pytest.raises(ConfigError):
        search(replace(new, config=config_of(**training)), ByFormula(), minutes=minutes)


def test_a_search_with_everything_given_is_refused(new):
    names = {each.name for each in space_around(new.config, ())}
    with pytest.raises(ConfigError, match="is given"):
        search(replace(new, given=frozenset(names)), ByFormula())


# The space.


def test_the_settings_that_depend_on_a_searched_one_follow_it():
    config = config_of({"encoder_size": 256, "decoder_size": 512}, updates=3000, batch_tokens=1000)
    found = with_settings(config, {"model.encoder_size": 192, "training.batch_tokens": 750})
    assert (found.model.encoder_size, found.model.decoder_size) == (192, 384)
    assert found.training.updates == 4000  # as many epochs
    unlimited = with_settings(config_of(), {"training.batch_tokens": 400})
    assert unlimited.training.updates == config_of().training.updates


@pytest.mark.parametrize(
    ("given", "fixed"),
    [
        ("model.decoder_size", "model.encoder_size"),
        ("training.updates", "training.batch_tokens"),
        ("model.dropout", "model.dropout"),
    ],
)
def test_what_is_given_is_not_searched_and_nor_is_what_it_depends_on(given, fixed):
    everything = {each.name for each in space_around(config_of(), ())}
    assert everything - {each.name for each in space_around(config_of(), {given})} == {fixed}


def test_settings_without_an_effect_or_without_a_fit_are_not_searched():
    names = {each.name for each in space_around(config_of({"attention": "none"}), ())}
    assert "model.attend_eos" not in names and "model.encoder_size" in names
    model = {"encoder_size": 8, "decoder_size": 16, "bridge": "copy", "attention_size": 16}
    assert "model.encoder_size" in {d.name for d in space_around(config_of(model), ())}
    heads = model | {"heads": 16, "projections": False}
    assert "model.encoder_size" not in {d.name for d in space_around(config_of(heads), ())}


@pytest.mark.parametrize("dropout", [0.0, 0.1, 0.3, 0.756])
def test_proposals_are_valid_and_within_their_ranges(dropout):
    sizes = {"encoder_size": 100, "decoder_size": 200, "word_dropout": dropout, "dropout": dropout}
    space = space_around(config_of(sizes, learning_rate=1.234e-3, batch_tokens=1), ())
    for seed in range(30):
        first = Trial(1, propose(space, (), seed))
        assert first.settings == {each.name: each.default for each in space}
        first.end = _complete(1, 30.0)
        settings = propose(space, [first], seed)
        found = with_settings(config_of(sizes), settings).model
        assert found.decoder_size == 2 * found.encoder_size
        assert 0 <= found.word_dropout <= max(0.2, min(2 * dropout, 0.7), dropout)
        assert 4.9e-4 <= settings["training.learning_rate"] <= 3.1e-3
        assert settings["training.learning_rate"] == float(
            f"{settings['training.learning_rate']:.2g}"
        )
        assert settings["training.batch_tokens"] >= 1


def _complete(trial: int, value: float) -> End:
    return End(trial=trial, result="complete", value=value, best_update=1, seconds=1.0)


def test_after_some_trials_proposals_move_to_where_scores_are_higher():
    space = space_around(config_of(), ())
    trials = list[Trial]()
    for number in range(1, 26):
        trial = Trial(number, propose(space, trials, seed=1))
        trial.end = _complete(number, 40 + 20 * rank(trial))
        trials.append(trial)
    late, early = trials[-8:], trials[1:9]
    assert sum(map(rank, late)) > sum(map(rank, early)) + 1


# Real trainings.


def test_a_training_may_be_ended_after_a_validation(tmp_path, store):
    run, reporter = new_run(tmp_path / "run", store), Silent()
    outcome = train_run(
        run,
        store,
        device="cpu",
        reporter=reporter,
        ends_after=lambda event: "enough" if event.state.update == 12 else None,
    )
    assert (outcome.reason, outcome.state.update) == ("enough", 12)
    assert reporter.events[-1].reason == "enough"
    again, _ = train(run, store)
    assert again.state.update == 20


OPTIONS = (
    "--recipe=tiny", "--threads=1", "--set=model.encoder_size=4", "--set=training.batch_tokens=170",
    "--set=model.embedding_size=6", "--set=training.updates=12", "--set=training.validate_every=4",
    "--set=training.samples=0",
)  # fmt: skip


def test_a_search_by_the_program_is_interrupted_goes_on_and_ends_in_a_run(
    tmp_path, store_path, monkeypatch
):
    run = tmp_path / "run"
    command = ("train", store_path, run, *OPTIONS, "--tune=0.075")
    monkeypatch.setattr("cli.runs.training.fit", fit_timed_by(0.125))
    monkeypatch.setattr(cli.runs.tuning.search, "WHOLE_TRIALS", 3)  # of 1.5 s
    with monkeypatch.context() as patched:
        stop = Silent(lambda event: interrupt())
        patched.setattr(
            cli.terminal.tuning,
            "trial_reporter",
            lambda trial: stop if trial.path.name == "trial-2" else Silent(),
        )
        stopped = call(*command)
    assert stopped.code == 130 and "same command" in stopped.err
    trials = tmp_path / "run.trials"
    assert (trials / "trial-2/checkpoints/last").exists()
    assert not (trials / "trial-1/checkpoints").exists()
    result = call(*command)
    assert result.code == 0, result.err
    assert "1 trial" not in result.err and "2 trials already" in result.err
    assert "learning_rate" in result.err and "trial 2: " in result.err
    settings = json.loads(call("describe", run, "--json").out)["tuned"]["settings"]
    assert (
        load_config(run / "config.toml").training.learning_rate
        == settings["training.learning_rate"]
    )
    described = json.loads(call("describe", trials / "trial-2", "--json").out)
    assert described["kind"] == "run" and described["checkpoints"] == {}
    assert call("translate", run, stdin=b"ba ce\n").out.count("\n") == 1


def test_tune_is_refused_beside_resume(tmp_path, store_path):
    result = call("train", store_path, tmp_path, "--resume", "--tune=1")
    assert result.code == 2 and "leave out --tune" in result.err


def test_without_optuna_the_command_that_installs_it_is_named(tmp_path, store_path, monkeypatch):
    for name in [*sys.modules]:
        if name.startswith(("cli.runs.tuning", "cli.terminal.tuning")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = call("train", store_path, tmp_path / "run", *OPTIONS, "--tune=1")
    assert result.code == 2 and "pip install 'seq2seq-trainer[tune]'" in result.err
    assert not (tmp_path / "run").exists() and not (tmp_path / "run.trials").exists()
