"""Trainings that are interrupted, or crash, and resume to the same bytes."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from reruns import Crash, Silent, interrupt, new_run, remains, train
from tiny import corpus_lines, prepare, write_corpus

import cli.runs.recorder
import cli.runs.validation
import seq2seq.checkpoints.checkpoint
from cli.runs.interruption import Interrupted
from cli.runs.training import train_run
from data.batching import EpochPlan, pair_groups, sorted_batches, token_budget_batches
from data.config import DataConfig
from data.corpora import Corpus, CorpusFiles, Manifest
from data.preparation.links import LinkFile
from data.token_store import TokenStore
from seq2seq.batch import FIRST_BATCH, Batch
from seq2seq.training.events import Validation, ValidationScores


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, store_path):
    """The remains of runs that nothing interrupts, by the settings of their models."""
    store, done = TokenStore.open(store_path), {}

    def of(**model) -> dict[str, str]:
        key = json.dumps(model)
        if key not in done:
            run = new_run(tmp_path_factory.mktemp("whole") / "run", store, model=model)
            train(run, store)
            done[key] = remains(run)
        return done[key]

    return of


def batches_an_epoch(store: TokenStore) -> int:
    return len(pair_groups(store.split("train"), EpochPlan(budget=170, seed=1), epoch=1))


def test_the_trainings_of_this_module_have_several_epochs(store):
    assert 3 <= batches_an_epoch(store) <= 8  # of 20 updates, so that 4 to 7 are an epoch's edge


@pytest.mark.parametrize("k", [1, 6, 13, 20])
def test_a_run_stopped_after_an_update_resumes_to_the_same_bytes(tmp_path, store, uninterrupted, k):
    run = new_run(tmp_path / "run", store)
    with pytest.raises(Interrupted):
        train(run, store, lambda e: interrupt() if e.state.update == k else None)
    stopped = json.loads((run.checkpoint("last") / "state.json").read_text())
    assert stopped["update"] == k
    outcome, reporter = train(run, store)
    assert outcome.trained and reporter.began.update == k
    assert remains(run) == uninterrupted()


def test_a_run_stopped_between_two_epochs_resumes_to_the_same_bytes(tmp_path, store, uninterrupted):
    edge = batches_an_epoch(store)
    run = new_run(tmp_path / "run", store)
    for k in (edge - 1, edge, edge + 1):
        with pytest.raises(Interrupted):
            train(run, store, lambda e, k=k: interrupt() if e.state.update == k else None)
    train(run, store)
    assert remains(run) == uninterrupted()


@pytest.mark.parametrize("k", [6, 20])
def test_a_run_stopped_after_a_validation_resumes_to_the_same_bytes(
    tmp_path, store, uninterrupted, k
):
    run = new_run(tmp_path / "run", store)
    with pytest.raises(Interrupted):
        train(
            run,
            store,
            lambda e: interrupt() if type(e) is Validation and e.state.update == k else None,
        )
    train(run, store)
    assert remains(run) == uninterrupted()


@pytest.mark.parametrize(
    ("how", "nth"), [("signal", 1), ("signal", 4), ("error", 2), ("crash", 1), ("crash", 2)]
)
def test_a_run_stopped_inside_a_validation_resumes_to_the_same_bytes(
    tmp_path, store, uninterrupted, monkeypatch, how, nth
):
    run = new_run(tmp_path / "run", store)
    stop = {"signal": interrupt, "error": failing(RuntimeError), "crash": failing(Crash)}[how]
    validations = itertools.count(1)

    def batches(split, **options: Any) -> Iterator[Batch]:
        now = next(validations)
        for batch in sorted_batches(split, **options):
            if now == nth:
                stop()
            yield batch

    with monkeypatch.context() as patched:
        patched.setattr(cli.runs.validation, "sorted_batches", batches)
        with pytest.raises((Interrupted, RuntimeError, Crash)):
            train(run, store)
    train(run, store)
    assert remains(run) == uninterrupted()


def failing(error: type[BaseException]):
    def fail(*arguments: object, **options: object) -> None:
        raise error("planted")

    return fail


@pytest.mark.parametrize("k", [2, 6, 14])
def test_a_run_that_crashed_resumes_to_the_same_bytes(tmp_path, store, uninterrupted, k):
    run = new_run(tmp_path / "run", store)
    with pytest.raises(Crash):
        train(run, store, lambda e: failing(Crash)() if e.state.update == k else None)
    train(run, store)
    assert remains(run) == uninterrupted()


def test_a_run_stopped_after_every_update_resumes_to_the_same_bytes(tmp_path, store, uninterrupted):
    run = new_run(tmp_path / "run", store)
    for _ in range(20):
        with pytest.raises(Interrupted):
            train(run, store, lambda e: interrupt())
    while True:
        try:
            train(run, store, lambda e: interrupt())
            break
        except Interrupted:
            pass
    assert remains(run) == uninterrupted()


STRONG = {
    "plateau": {
        "decay": "plateau", "plateau_patience": 1, "plateau_times": 9, "learning_rate": 0.3,
        "validate_every": 2, "ema": 0.7, "keep_best": 2,
    },
    "everything": {
        "decay": "cosine", "accumulate": 2, "weight_decay": 0.1, "ema": 0.9, "metric": "chrf",
        "keep_last": 3, "average": "last", "validate_every": 4, "scheduled_sampling": 0.8,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", STRONG)
def test_runs_with_much_state_resume_to_the_same_bytes(tmp_path, store, name):
    whole = new_run(tmp_path / "whole", store, training=STRONG[name])
    train(whole, store)
    if name == "plateau":
        lines = [json.loads(line) for line in whole.metrics.read_text().splitlines()]
        assert sum(line.get("reduced", False) for line in lines) >= 3
    run = new_run(tmp_path / "run", store, training=STRONG[name])
    for k in (3, 8, 9, 14, 17):
        with pytest.raises(Interrupted):
            train(run, store, lambda e, k=k: interrupt() if e.state.update == k else None)
        if k % 2:
            with pytest.raises(Crash):
                train(run, store, lambda e: failing(Crash)() if type(e) is Validation else None)
    train(run, store)
    assert remains(run) == remains(whole)
    ours, theirs = ((r.checkpoint("last") / "raw.safetensors").read_bytes() for r in (run, whole))
    assert ours == theirs


def test_a_plateau_restarts_from_the_best_weights_and_moments(tmp_path, store):
    run, seen = new_run(tmp_path / "run", store, training=STRONG["plateau"]), []

    def compare(event) -> None:
        if type(event) is Validation and event.reduced:
            best = run.checkpoint("best")
            seen.append(event.state.update)
            last = run.checkpoint("last")
            assert last != best
            for part in ("model.safetensors", "raw.safetensors", "optimizer.safetensors"):
                assert (last / part).read_bytes() == (best / part).read_bytes()

    reporter = Silent(compare)
    train_run(run, store, device="cpu", reporter=reporter)
    assert len(seen) >= 3
    assert any("a plateau: the learning rate is 1.5e-01" in line for line in reporter.messages)


def test_a_plateau_returns_to_the_best_checkpoint_that_is_left(tmp_path, store):
    run = new_run(tmp_path / "run", store, training=STRONG["plateau"])
    with pytest.raises(Interrupted):
        train(run, store, lambda e: interrupt() if e.state.update == 9 else None)
    lost = run.checkpoint("best")
    (lost / "model.safetensors").write_bytes(b"")
    outcome, reporter = train(run, store)
    said = "\n".join(reporter.messages)
    assert f"{lost / 'model.safetensors'} is damaged" in said and "best names update-" in said
    assert "a plateau: " in said and outcome.state.update == 20


TWO_LAYERS = {"cell": "gru", "encoder_layers": 2, "decoder_layers": 2}


@pytest.mark.parametrize(
    "model",
    [
        {"attention": "bahdanau", "score": "additive"} | TWO_LAYERS,
        {"attention": "none", "tie_embeddings": "none"},
        {"attention": "luong", "input_feeding": False, "tie_embeddings": "decoder"},
        {"attention": "conditional", "coverage": "gru", "heads": 2, "attention_size": 6},
    ],
    ids=lambda model: model["attention"],
)
def test_every_order_of_attention_resumes_to_the_same_bytes(tmp_path, store, uninterrupted, model):
    run = new_run(tmp_path / "run", store, model=model)
    for k in (3, 11):
        with pytest.raises(Interrupted):
            train(run, store, lambda e, k=k: interrupt() if e.state.update == k else None)
    train(run, store)
    assert remains(run) == uninterrupted(**model)


SAMPLED = {"source_subword_sampling": 0.2, "target_subword_sampling": 0.1, "curriculum": "length"}


def test_subword_sampling_and_a_curriculum_resume_to_the_same_bytes(tmp_path, store, uninterrupted):
    whole = new_run(tmp_path / "whole", store, training=SAMPLED)
    train(whole, store)
    run = new_run(tmp_path / "run", store, training=SAMPLED)
    for k in (2, batches_an_epoch(store), 11):  # in the middle of an epoch and at its edge
        with pytest.raises(Interrupted):
            train(run, store, lambda e, k=k: interrupt() if e.state.update == k else None)
    train(run, store)
    assert remains(run) == remains(whole) != uninterrupted()


GUIDED = {
    "guided_alignment": 0.5,
    "guided_alignment_decay": 0.7,
    "guided_alignment_unlinked": "eos",
}


def test_guided_alignment_resumes_to_the_same_bytes_and_changes_no_other_run(tmp_path, store):
    """Mirrored sentences: the first source word is linked to the last target word, and so on."""
    pairs = list(corpus_lines(90, seed=1))
    sizes = [len(source.split()) for source, _ in pairs]
    links = tmp_path / "links"
    links.write_text("".join(" ".join(f"{i}-{n - 1 - i}" for i in range(n)) + "\n" for n in sizes))
    train_files = CorpusFiles(*write_corpus(tmp_path, "train", pairs))
    valid_files = CorpusFiles(*write_corpus(tmp_path, "valid", list(corpus_lines(12, seed=2))))
    config = DataConfig(vocabulary_size=310)
    linked, plain = (
        prepare(train_files, valid_files, tmp_path / name, config, links=source).store
        for name, source in (("linked", LinkFile(links)), ("plain", None))
    )
    whole = new_run(tmp_path / "whole", linked, training=GUIDED)
    train(whole, linked)
    run = new_run(tmp_path / "run", linked, training=GUIDED)
    for k in (2, batches_an_epoch(linked), 11):
        with pytest.raises(Interrupted):
            train(run, linked, lambda e, k=k: interrupt() if e.state.update == k else None)
    train(run, linked)
    assert remains(run) == remains(whole)
    unguided = [new_run(tmp_path / f"unguided {each.path.name}", each) for each in (linked, plain)]
    for each, its_store in zip(unguided, (linked, plain), strict=True):
        train(each, its_store)
    assert remains(unguided[0]) == remains(unguided[1]) != remains(whole)


def test_several_corpora_resume_to_the_same_bytes(tmp_path):
    files = [CorpusFiles(*write_corpus(tmp_path, n, list(corpus_lines(60, seed=1)))) for n in "ab"]
    back = Corpus("back", CorpusFiles(*reversed(files[1])), weight=0.5, tag="back")
    store = prepare(
        *files,
        tmp_path / "store",
        DataConfig(vocabulary_size=310),
        manifest=Manifest(further=(back,)),
        processes=1,
    ).store
    weights = {"corpus_weights": {"back": 1.3, "main": 0.7}, "source_subword_sampling": 0.1}
    whole, usual, run = (
        new_run(tmp_path / name, store, training=settings)
        for name, settings in (("whole", weights), ("usual", {}), ("run", weights))
    )
    train(whole, store)
    train(usual, store)
    for k in (3, 7, 12):
        with pytest.raises(Interrupted):
            train(run, store, lambda e, k=k: interrupt() if e.state.update == k else None)
    train(run, store)
    assert remains(run) == remains(whole) != remains(usual)


@pytest.mark.parametrize(
    ("step", "nth"),
    [("save_checkpoint", 1), ("save_checkpoint", 2), ("point", 1), ("point", 2), ("prune", 1)],
)
def test_a_crash_while_saving_loses_no_checkpoint_and_repeats_no_metrics(
    tmp_path, store, uninterrupted, monkeypatch, step, nth
):
    """Stopped before a validation, then crashed in the save that follows it."""
    run = new_run(tmp_path / "run", store)
    with pytest.raises(Interrupted):
        train(run, store, lambda e: interrupt() if e.state.update == 6 else None)
    calls, original = itertools.count(1), getattr(cli.runs.recorder, step)

    def crash(*arguments, **options):
        if next(calls) == nth:
            raise Crash
        return original(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(cli.runs.recorder, step, crash)
        with pytest.raises(Crash):
            train(run, store)
    assert seq2seq.checkpoints.checkpoint.load_state(run.checkpoint("last")).update >= 6
    train(run, store)
    assert remains(run) == uninterrupted()
    assert len(list(run.checkpoints.glob("update-*"))) <= 2


def test_a_checkpoint_is_replaced_only_once_its_successor_is_written(tmp_path, store, monkeypatch):
    """An update is saved again after its validation; a crash in between loses neither."""
    run = new_run(tmp_path / "run", store)
    with pytest.raises(Interrupted):
        train(run, store, lambda e: interrupt() if e.state.update == 6 else None)
    with monkeypatch.context() as patched:
        patched.setattr(seq2seq.checkpoints.checkpoint, "save_file", failing(Crash))
        with pytest.raises(Crash):
            train(run, store)
    state = seq2seq.checkpoints.checkpoint.load_state(run.checkpoint("last"))
    assert (state.update, state.validated) == (6, 0)


def test_best_names_the_checkpoint_that_validated_best(tmp_path, store, monkeypatch):
    nats = iter([3.0, 2.0, 2.5, 2.25])  # after updates 6, 12, 18 and 20
    monkeypatch.setattr(
        cli.runs.validation.Validator, "measure", lambda *_: ValidationScores(next(nats))
    )
    run = new_run(tmp_path / "run", store, training={"metric": "perplexity"})
    train(run, store)
    assert [run.checkpoint(name).name for name in ("best", "last")] == [
        "update-000000012",
        "update-000000020",
    ]


def test_metrics_are_synced_before_the_checkpoint_that_follows_them(tmp_path, store, monkeypatch):
    calls, sync, save = [], cli.runs.recorder.sync, cli.runs.recorder.save_checkpoint
    monkeypatch.setattr(
        cli.runs.recorder, "sync", lambda path: (calls.append(path.name), sync(path))
    )
    monkeypatch.setattr(
        cli.runs.recorder, "save_checkpoint", lambda *all_: (calls.append("save"), save(*all_))[1]
    )
    run = new_run(tmp_path / "run", store, training={"updates": 6})
    train(run, store)
    assert calls == ["save", "metrics.jsonl", "samples.jsonl", "run", "save"]


def test_keyboard_interrupt_saves_no_update_that_may_be_incomplete(tmp_path, store, uninterrupted):
    run = new_run(tmp_path / "run", store)

    def twice(event) -> None:
        if event.state.update == 8:
            interrupt()
            raise KeyboardInterrupt  # as the second signal does, at any place

    with pytest.raises(KeyboardInterrupt):
        train(run, store, twice)
    assert seq2seq.checkpoints.checkpoint.load_state(run.checkpoint("last")).update == 6
    train(run, store)
    assert remains(run) == uninterrupted()


def test_a_line_of_metrics_cut_short_by_a_crash_is_removed(tmp_path, store, uninterrupted):
    run = new_run(tmp_path / "run", store)
    with pytest.raises(Crash):
        train(run, store, lambda e: failing(Crash)() if e.state.update == 9 else None)
    with run.metrics.open("a") as stream:
        stream.write('{"event": "update", "upd')
    train(run, store)
    assert remains(run) == uninterrupted()


def test_training_time_adds_up_over_interruptions(tmp_path, store):
    run = new_run(tmp_path / "run", store)
    with pytest.raises(Interrupted):
        train(run, store, lambda e: interrupt() if e.state.update == 8 else None)
    first = seq2seq.checkpoints.checkpoint.load_state(run.checkpoint("last")).seconds
    outcome, reporter = train(run, store)
    assert 0 < first == reporter.began.seconds < outcome.state.seconds


def test_another_seed_gives_other_weights(tmp_path, store, uninterrupted):
    run = new_run(tmp_path / "run", store, training={"seed": 2})
    train(run, store)
    assert remains(run)["last/model.safetensors"] != uninterrupted()["last/model.safetensors"]


def test_batches_begin_at_a_position_and_run_over_its_epoch(store):
    split = store.split("train")
    stream = token_budget_batches(split, EpochPlan(budget=170, seed=1), start=FIRST_BATCH)
    positions = [batch.position for batch in itertools.islice(stream, batches_an_epoch(store) + 1)]
    assert positions[0] == (1, 0) and positions[-1] == (2, 0)
