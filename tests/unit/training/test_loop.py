"""The training loop alone, and trainings that are interrupted and go on to the same bytes."""

import hashlib
import itertools
import json
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from reruns import Crash, Silent, interrupt, new_run, remains, train
from tiny import (
    REAL_IDS,
    VOCABULARY,
    Kind,
    corpus_lines,
    padded,
    tiny_config,
    tiny_model,
    write_corpus,
)

import data.batching
import seq2seq.checkpoints.checkpoint
import seq2seq.checkpoints.folder
from cli.runs.directory import RunDirectory
from cli.runs.interruption import Interrupted
from cli.runs.training import check_resumable, train_run
from data.batching import epoch_plan, sorted_batches, token_budget_batches
from data.config import DataConfig
from data.corpora import Corpus, CorpusFiles, Manifest
from data.preparation.pipeline import prepare
from data.token_store import TokenStore
from seq2seq.batch import FIRST_BATCH, Batch, BatchPosition
from seq2seq.building import build_model
from seq2seq.checkpoints.checkpoint import verify
from seq2seq.config import SearchConfig, TrainingConfig
from seq2seq.errors import CheckpointError, ConfigError, DivergenceError, ResourceError
from seq2seq.model import EncoderDecoder
from seq2seq.search.translation import translate_ids
from seq2seq.training.loop import (
    Finished,
    TrainingState,
    Update,
    Validation,
    ValidationScores,
    corpus_nats,
    fit,
    seed_update,
)
from seq2seq.training.losses import batch_loss
from seq2seq.training.optimization import build_optimizer

LUONG, BAHDANAU = Kind("luong"), Kind("bahdanau", "additive")
CONDITIONAL = Kind("conditional", "concat")


def mirrored(count: int, chance: random.Random) -> list[tuple[list[int], list[int]]]:
    sources = [[chance.choice(REAL_IDS) for _ in range(chance.randint(2, 5))] for _ in range(count)]
    return [(source, source[::-1]) for source in sources]


def endless(*, sentences: int = 4, seed: int = 5) -> Iterator[Batch]:
    chance = random.Random(seed)
    for number in itertools.count():
        batch = padded(mirrored(sentences, chance))
        yield replace(batch, position=BatchPosition(1, number))


def events_of(
    model: EncoderDecoder, config: TrainingConfig, *, nats=lambda: 1.0, batches=None, **options
) -> list[Update | Validation | Finished]:
    optimizer = build_optimizer(model, config)
    options = {"state": TrainingState()} | options
    return list(
        fit(
            model,
            optimizer,
            batches or endless(),
            lambda: ValidationScores(nats()),
            config,
            **options,
        )
    )


def kinds(events) -> str:
    """Updates, validations and the end as letters, in order."""
    return "".join({Update: "u", Validation: "v", Finished: "f"}[type(e)] for e in events)


# What is learnt


@pytest.mark.parametrize("kind", [LUONG, BAHDANAU, CONDITIONAL], ids=str)
def test_attention_learns_to_turn_a_sentence_round(kind):
    torch.manual_seed(1)
    sizes = {"embedding_size": 24, "encoder_size": 24, "decoder_size": 48, "attention_size": 24}
    model = build_model(
        tiny_config(kind, cell="gru", readout_size=24, tie_embeddings="all", **sizes),
        source_vocabulary=VOCABULARY,
        target_vocabulary=VOCABULARY,
        joint=True,
    )
    config = TrainingConfig(updates=200, learning_rate=1e-2, warmup=20, validate_every=10_000)
    events_of(model, config, batches=endless(sentences=48))
    held_out = mirrored(100, random.Random(99))
    found = translate_ids(model, [source for source, _ in held_out], SearchConfig(beam=2))
    pairs = zip(found, held_out, strict=True)
    exact = sum(best.ids[:-1] == tuple(target) for (best,), (_, target) in pairs)
    assert exact > 90  # of 100


def test_the_loss_falls():
    events = events_of(tiny_model(LUONG), TrainingConfig(updates=60, warmup=5))
    updates = [e for e in events if type(e) is Update]
    first, last = updates[:10], updates[-10:]
    assert sum(e.nats_per_token for e in last) < sum(e.nats_per_token for e in first)


# What the loop reports


def test_updates_validations_and_the_end_come_in_order():
    config = TrainingConfig(updates=7, validate_every=3, patience=0)
    events = events_of(tiny_model(LUONG), config)
    assert kinds(events) == "uuuvuuuvuvf"
    assert [e.state.update for e in events] == [1, 2, 3, 3, 4, 5, 6, 6, 7, 7, 7]
    assert [e.state.position.batch for e in events if type(e) is Update] == list(range(1, 8))
    assert events[-1].reason == "all 7 updates are done"
    assert events[-2].state == events[-1].state


def test_no_updates_leave_the_weights_alone():
    model = tiny_model(LUONG)
    before = [p.clone() for p in model.parameters()]
    (end,) = events_of(model, TrainingConfig(updates=0))
    assert end.state == TrainingState()
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


def test_patience_counts_validations_without_a_better_one():
    nats = iter([3.0, 2.0, 2.0, 2.5, 1.0, 9.0, 9.0, 9.0])
    config = TrainingConfig(updates=100, validate_every=2, patience=3)
    events = events_of(tiny_model(LUONG), config, nats=lambda: next(nats))
    assert kinds(events) == "uuv" * 8 + "f"
    assert [e.improved for e in events if type(e) is Validation] == [
        *(True, True, False, False, True, False, False, False)
    ]
    end = events[-1]
    assert end.reason == "no better perplexity in 3 validations"
    assert (end.state.best_update, end.state.best_nats, end.state.stale) == (10, 1.0, 3)


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_the_metric_decides_and_perplexity_breaks_its_ties(metric):
    nats = [1.0, 2.0, 3.0, 2.5, 1.0, 1.0]
    scores = [0.0, 5.0, 5.0, 5.0, 4.0, 6.0]
    results = iter([ValidationScores(n, **{metric: s}) for n, s in zip(nats, scores, strict=True)])
    config = TrainingConfig(updates=6, validate_every=1, metric=metric, patience=0)
    model = tiny_model(LUONG)
    events = fit(
        model,
        build_optimizer(model, config),
        endless(),
        lambda: next(results),
        config,
        state=TrainingState(),
    )
    validations = [e for e in events if type(e) is Validation]
    assert [e.improved for e in validations] == [True, True, False, False, False, True]
    end = validations[-1].state
    assert (end.best_update, end.best_nats, end.best_score) == (6, 1.0, 6.0)
    config = config.model_copy(update={"patience": 2})
    state = validations[4].state
    (over,) = fit(model, build_optimizer(model, config), endless(), dict, config, state=state)
    assert over.reason == f"no better {'BLEU' if metric == 'bleu' else 'chrF'} in 3 validations"


def test_what_was_measured_is_of_the_weights_as_they_are():
    events = events_of(tiny_model(LUONG), TrainingConfig(updates=4, validate_every=2))
    assert [e.state.measured is not None for e in events] == [
        *(False, False, True, False, False, True, True)
    ]


def test_a_validation_that_is_no_number_ends_the_run():
    config = TrainingConfig(updates=2, validate_every=1)
    with pytest.raises(DivergenceError, match="validation loss is nan after update 1"):
        events_of(tiny_model(LUONG), config, nats=lambda: math.nan)


def test_minutes_end_a_run_and_steer_its_rate():
    seconds = itertools.count(step=10.0)  # every look at the clock is ten seconds later
    config = TrainingConfig(
        updates=1000, minutes=1.0, validate_every=500, warmup=0, learning_rate=1.0, clip_norm=1e-6
    )
    events = events_of(tiny_model(LUONG), config, clock=lambda: next(seconds))
    assert kinds(events) == "uuuuuuvf"
    rates = [e.learning_rate for e in events if type(e) is Update]
    assert rates == pytest.approx([1 - n / 6 for n in range(6)])
    assert events[-1].reason == "the 1 minutes are over"


def test_time_goes_on_where_it_stopped():
    config = TrainingConfig(updates=1000, minutes=1.0, validate_every=500, patience=0)
    late = TrainingState(seconds=59.0, update=500, validated=500)
    seconds = itertools.count(start=1000.0, step=0.75)
    events = events_of(tiny_model(LUONG), config, clock=lambda: next(seconds), state=late)
    assert kinds(events) == "uuvf"
    assert events[0].state.seconds == pytest.approx(59.75)


def test_the_rate_is_that_of_the_schedule_and_the_gradient_is_clipped():
    config = TrainingConfig(updates=4, warmup=2, learning_rate=0.5, clip_norm=1e-9)
    updates = [e for e in events_of(tiny_model(LUONG), config) if type(e) is Update]
    assert [e.learning_rate for e in updates] == pytest.approx([0.25, 0.5, 0.25, 0.125])
    assert all(e.gradient_norm > 1e-6 for e in updates)  # as it was before clipping


def test_an_update_has_a_stream_of_chance_of_its_own():
    def drawn(seed: int, update: int) -> list[float]:
        seed_update(seed, update)
        return torch.rand(4).tolist()

    assert drawn(1, 5) == drawn(1, 5)
    streams = [drawn(seed, update) for seed in (1, 2, 12) for update in (1, 2, 21, 23)]
    assert len({tuple(stream) for stream in streams}) == len(streams)


# Validation


def test_validation_draws_no_chance_and_leaves_the_mode_alone():
    model = tiny_model(LUONG, dropout=0.5)
    batches = [padded([([5, 6], [7])]), padded([([5], [7, 8, 9])])]
    before = torch.get_rng_state()
    for training in (True, False):
        model.train(training)
        first, second = corpus_nats(model, batches), corpus_nats(model, batches)
        assert first == second
        assert model.training is training
    assert torch.equal(torch.get_rng_state(), before)


def test_corpus_nats_is_the_mean_over_tokens_however_they_are_batched():
    model = tiny_model(BAHDANAU)
    pairs = mirrored(9, random.Random(3))
    with torch.no_grad():
        losses = [batch_loss(model, padded([pair])) for pair in pairs]
    mean = sum(loss.nats.item() for loss in losses) / sum(loss.tokens for loss in losses)
    for size in (1, 2, 4, 9):
        batches = [padded(pairs[i : i + size]) for i in range(0, 9, size)]
        assert corpus_nats(model, batches) == pytest.approx(mean, rel=1e-12)


def test_losses_do_not_depend_on_when_validation_happens():
    def losses(validate_every: int) -> list[float]:
        torch.manual_seed(0)
        model = tiny_model(LUONG, dropout=0.3, embedding_dropout=0.2)
        held_out = [padded(mirrored(5, random.Random(8)))]
        config = TrainingConfig(updates=12, validate_every=validate_every, patience=0)
        events = events_of(model, config, nats=lambda: corpus_nats(model, held_out))
        return [e.nats_per_token for e in events if type(e) is Update]

    assert losses(1) == losses(5) == losses(100)


# Several batches an update


@pytest.mark.parametrize("kind", [LUONG, BAHDANAU], ids=str)
def test_accumulated_batches_are_one_big_batch(kind):
    chance = random.Random(4)
    pairs = [
        mirrored(3 + 2 * number, chance) for number in range(6)
    ]  # unequal, and padded unequally
    small = [
        replace(padded(p, longer=n), position=BatchPosition(1, n)) for n, p in enumerate(pairs)
    ]
    big = [padded([pair for each in pairs[n : n + 3] for pair in each]) for n in (0, 3)]
    models = tiny_model(kind), tiny_model(kind)
    options = {"updates": 2, "validate_every": 9, "warmup": 0}
    ours = events_of(models[0], TrainingConfig(accumulate=3, **options), batches=iter(small))
    theirs = events_of(models[1], TrainingConfig(**options), batches=iter(big))
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        assert mine.tokens == other.tokens
        assert mine.nats_per_token == pytest.approx(other.nats_per_token, rel=1e-12)
        assert mine.gradient_norm == pytest.approx(other.gradient_norm, rel=1e-10)
    for mine, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-8, atol=1e-10)
    assert [e.batch.batch for e in ours[:2]] == [0, 3]
    assert ours[1].state.position == (1, 6)
    assert ours[1].state.tokens == sum(e.tokens for e in ours[:2])


# Plateaus


def plateau_events(model, nats, restore=lambda: None, **settings):
    config = TrainingConfig(
        updates=100, validate_every=1, warmup=0, learning_rate=0.8, decay="plateau", **settings
    )
    return events_of(model, config, nats=lambda: next(nats), restore=restore)


def test_the_rate_falls_on_plateaus_and_the_last_one_ends_training():
    nats = iter([3.0, 2.0, 2.5, 2.5, 1.0, 1.0, 1.0, 4.0, 4.0])
    restored = []
    events = plateau_events(
        tiny_model(LUONG), nats, lambda: restored.append(1), plateau_patience=2, plateau_times=2
    )
    validations = [e for e in events if type(e) is Validation]
    assert [e.reduced for e in validations] == [
        *(False, False, False, True, False, False, True, False, False)
    ]
    rates = [e.learning_rate for e in events if type(e) is Update]
    assert rates == pytest.approx([0.8] * 4 + [0.4] * 3 + [0.2] * 2)
    assert len(restored) == 2
    assert events[-1].reason == (
        "no better perplexity in 2 validations, after 2 reductions of the learning rate"
    )
    assert [e.state.measured is None for e in validations] == [e.reduced for e in validations]


def test_without_restart_a_plateau_restores_nothing():
    def refuse() -> None:
        raise AssertionError

    settings = {"plateau_restart": False, "plateau_patience": 1, "plateau_times": 1}
    events = plateau_events(tiny_model(LUONG), iter([1.0, 1.0, 1.0]), refuse, **settings)
    assert kinds(events) == "uvuvuvf"


def test_a_restart_needs_something_to_restore():
    with pytest.raises(ValueError, match="needs `restore`"):
        plateau_events(tiny_model(LUONG), iter([]), None)


def test_patience_that_no_plateau_outlives_is_refused():
    with pytest.raises(ConfigError, match="first plateau"):
        TrainingConfig(decay="plateau", patience=2, plateau_patience=2)
    TrainingConfig(decay="plateau", patience=0, plateau_patience=2)


# Divergence


@pytest.mark.parametrize("planted", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_step(planted):
    model, config = tiny_model(LUONG), TrainingConfig(updates=9, validate_every=100)
    events = fit(
        model,
        build_optimizer(model, config),
        endless(),
        lambda: ValidationScores(1.0),
        config,
        state=TrainingState(),
    )
    for _ in range(3):
        next(events)
    with torch.no_grad():
        model.output.vocabulary.bias[5] = planted
    others = {n: p.clone() for n, p in model.named_parameters() if n != "output.vocabulary.bias"}
    with pytest.raises(DivergenceError) as caught:
        next(events)
    assert "at update 4: epoch 1, batch 4, corpus lines 1, 2, 3, 4" in caught.value.message
    assert caught.value.hint
    for name, parameter in others.items():
        assert torch.equal(parameter, dict(model.named_parameters())[name])


def test_a_hopeless_loss_stops_though_it_is_finite():
    model = tiny_model(LUONG)
    with torch.no_grad():
        model.output.vocabulary.bias[1] = 1e6  # no label is that id
    with pytest.raises(DivergenceError, match=r"loss is \d+ nats a token at update 1"):
        events_of(model, TrainingConfig(updates=1))


def test_a_gradient_that_is_not_finite_stops_too():
    model, config = tiny_model(LUONG), TrainingConfig(updates=9, validate_every=100)
    model.output.vocabulary.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(DivergenceError, match="gradient norm is"):
        events_of(model, config)


def test_divergence_leaves_the_last_checkpoint_as_it_was(tmp_path, store):
    run, before = new_run(tmp_path / "run", store), {}

    def plant(event) -> None:
        if event.state.update == 8:
            before.update(remains(run))
            with torch.no_grad():
                reporter.model.output.vocabulary.bias[5] = math.nan

    reporter = Silent(plant)
    with pytest.raises(DivergenceError, match="at update 9"):
        train_run(run, store, device="cpu", reporter=reporter)
    assert remains(run) == before
    verify(run.checkpoint("last"))
    train(run, store)  # goes on from update 6, with weights that are sound
    assert json.loads(run.metrics.read_text().splitlines()[-1])["update"] == 20


# Interrupted and not: the same bytes


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, store_path):
    """What runs that nothing interrupts leave behind, by the settings of their models."""
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
    return len(epoch_plan(store.split("train"), budget=170, seed=1, epoch=1))


def test_the_trainings_here_have_several_epochs(store):
    assert 3 <= batches_an_epoch(store) <= 8  # of 20 updates, so that 4 to 7 are an epoch's edge


@pytest.mark.parametrize("k", [1, 4, 6, 7, 13, 20])
def test_a_run_stopped_after_an_update_goes_on_to_the_same_bytes(tmp_path, store, uninterrupted, k):
    run = new_run(tmp_path / "run", store)
    with pytest.raises(Interrupted):
        train(run, store, lambda e: interrupt() if e.state.update == k else None)
    stopped = json.loads((run.checkpoint("last") / "state.json").read_text())
    assert stopped["update"] == k
    outcome, reporter = train(run, store)
    assert outcome.trained and reporter.began.update == k
    assert remains(run) == uninterrupted()


def test_a_run_stopped_at_the_edge_of_an_epoch_goes_on_to_the_same_bytes(
    tmp_path, store, uninterrupted
):
    edge = batches_an_epoch(store)
    run = new_run(tmp_path / "run", store)
    for k in (edge - 1, edge, edge + 1):
        with pytest.raises(Interrupted):
            train(run, store, lambda e, k=k: interrupt() if e.state.update == k else None)
    train(run, store)
    assert remains(run) == uninterrupted()


@pytest.mark.parametrize("k", [6, 12, 20])
def test_a_run_stopped_after_a_validation_goes_on_to_the_same_bytes(
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
def test_a_run_stopped_inside_a_validation_goes_on_to_the_same_bytes(
    tmp_path, store, uninterrupted, monkeypatch, how, nth
):
    run = new_run(tmp_path / "run", store)
    stop = {"signal": interrupt, "error": failing(RuntimeError), "crash": failing(Crash)}[how]
    validations = itertools.count(1)

    def batches(split, *, budget: int) -> Iterator[Batch]:
        now = next(validations)
        for batch in sorted_batches(split, budget=budget):
            if now == nth:
                stop()
            yield batch

    with monkeypatch.context() as patched:
        patched.setattr(data.batching, "sorted_batches", batches)
        with pytest.raises((Interrupted, RuntimeError, Crash)):
            train(run, store)
    train(run, store)
    assert remains(run) == uninterrupted()


def failing(error: type[BaseException]):
    def fail(*arguments: object, **options: object) -> None:
        raise error("planted")

    return fail


@pytest.mark.parametrize("k", [2, 6, 8, 14])
def test_a_run_that_crashed_goes_on_to_the_same_bytes(tmp_path, store, uninterrupted, k):
    run = new_run(tmp_path / "run", store)
    with pytest.raises(Crash):
        train(run, store, lambda e: failing(Crash)() if e.state.update == k else None)
    train(run, store)
    assert remains(run) == uninterrupted()


def test_a_run_stopped_after_every_update_goes_on_to_the_same_bytes(tmp_path, store, uninterrupted):
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
        "r_drop": 2.0,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", STRONG)
def test_every_way_to_train_goes_on_to_the_same_bytes(tmp_path, store, name):
    whole = new_run(tmp_path / "whole", store, training=STRONG[name])
    train(whole, store)
    if name == "plateau":
        told = [json.loads(line) for line in whole.metrics.read_text().splitlines()]
        assert sum(line.get("reduced", False) for line in told) >= 3
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


def test_a_restart_on_a_plateau_has_the_best_weights_and_moments(tmp_path, store):
    run, seen = new_run(tmp_path / "run", store, training=STRONG["plateau"]), []

    def look(event) -> None:
        if type(event) is Validation and event.reduced:
            best = run.checkpoint("best")
            seen.append(event.state.update)
            model = run.build_model()
            verify(best).load_weights(model)
            raw = verify(best)._tensors("raw.safetensors")
            now = dict(reporter.model.named_parameters())
            assert all(torch.equal(now[name], raw[name]) for name in raw)

    reporter = Silent(look)
    train_run(run, store, device="cpu", reporter=reporter)
    assert len(seen) >= 3
    assert any("a plateau: the learning rate is 1.5e-01" in line for line in reporter.told)


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
def test_every_family_goes_on_to_the_same_bytes(tmp_path, store, uninterrupted, model):
    run = new_run(tmp_path / "run", store, model=model)
    for k in (3, 11):
        with pytest.raises(Interrupted):
            train(run, store, lambda e, k=k: interrupt() if e.state.update == k else None)
    train(run, store)
    assert remains(run) == uninterrupted(**model)


SAMPLED = {"source_subword_sampling": 0.2, "target_subword_sampling": 0.1, "curriculum": "length"}


def test_sampled_pieces_and_lessons_go_on_to_the_same_bytes(tmp_path, store, uninterrupted):
    whole = new_run(tmp_path / "whole", store, training=SAMPLED)
    train(whole, store)
    run = new_run(tmp_path / "run", store, training=SAMPLED)
    for k in (2, batches_an_epoch(store), 11):  # in the middle of an epoch and at its edge
        with pytest.raises(Interrupted):
            train(run, store, lambda e, k=k: interrupt() if e.state.update == k else None)
    train(run, store)
    assert remains(run) == remains(whole) != uninterrupted()


def test_several_corpora_go_on_to_the_same_bytes(tmp_path):
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
def test_a_crash_while_saving_loses_no_checkpoint_and_tells_nothing_twice(
    tmp_path, store, uninterrupted, monkeypatch, step, nth
):
    """Stopped before a validation, then crashed in the save that follows it."""
    run = new_run(tmp_path / "run", store)
    with pytest.raises(Interrupted):
        train(run, store, lambda e: interrupt() if e.state.update == 6 else None)
    calls, original = itertools.count(1), getattr(seq2seq.checkpoints.folder, step)

    def crash(*arguments, **options):
        if next(calls) == nth:
            raise Crash
        return original(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(seq2seq.checkpoints.folder, step, crash)
        with pytest.raises(Crash):
            train(run, store)
    assert seq2seq.checkpoints.checkpoint.load_state(run.checkpoint("last")).update >= 6
    train(run, store)
    assert remains(run) == uninterrupted()
    assert len(list(run.checkpoints.glob("update-*"))) <= 2


def test_a_checkpoint_is_replaced_only_when_its_successor_is_there(tmp_path, store, monkeypatch):
    """The same update is saved again after its validation; a crash between loses neither."""
    run = new_run(tmp_path / "run", store)
    with pytest.raises(Interrupted):
        train(run, store, lambda e: interrupt() if e.state.update == 6 else None)
    with monkeypatch.context() as patched:
        patched.setattr(seq2seq.checkpoints.checkpoint, "save_file", failing(Crash))
        with pytest.raises(Crash):
            train(run, store)
    state = seq2seq.checkpoints.checkpoint.load_state(run.checkpoint("last"))
    assert (state.update, state.validated) == (6, 0)


def test_keyboard_interrupt_saves_nothing_that_may_be_half_done(tmp_path, store, uninterrupted):
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


def test_metrics_cut_short_by_a_crash_are_mended(tmp_path, store, uninterrupted):
    run = new_run(tmp_path / "run", store)
    with pytest.raises(Crash):
        train(run, store, lambda e: failing(Crash)() if e.state.update == 9 else None)
    with run.metrics.open("a") as stream:
        stream.write('{"event": "update", "upd')
    train(run, store)
    assert remains(run) == uninterrupted()


def test_the_seconds_of_all_parts_add_up(tmp_path, store):
    run = new_run(tmp_path / "run", store)
    with pytest.raises(Interrupted):
        train(run, store, lambda e: interrupt() if e.state.update == 8 else None)
    first = seq2seq.checkpoints.checkpoint.load_state(run.checkpoint("last")).seconds
    outcome, reporter = train(run, store)
    assert 0 < first == reporter.began.seconds < outcome.state.seconds


# Resuming what is done, or what is another's


def test_a_finished_run_is_left_as_it_is(tmp_path, store):
    run = new_run(tmp_path / "run", store)
    train(run, store)
    before = {p: p.read_bytes() for p in sorted(run.path.rglob("*")) if p.is_file()}
    outcome, reporter = train(run, store)
    assert not outcome.trained and kinds(reporter.events) == "f"
    assert before == {p: p.read_bytes() for p in sorted(run.path.rglob("*")) if p.is_file()}


def test_a_run_with_more_updates_goes_on(tmp_path, store):
    run = new_run(tmp_path / "run", store, training={"decay": "none"})
    train(run, store)
    longer = run.config.training.model_copy(update={"updates": 24})
    run.write_config(run.config.model_copy(update={"training": longer}))
    train(run, store)
    whole = new_run(tmp_path / "whole", store, training={"decay": "none", "updates": 24})
    train(whole, store)
    # Only the validation after update 20, the first run's last, is more.
    ours, theirs = (r.metrics.read_text().splitlines() for r in (run, whole))
    assert [line for line in ours if '"validation", "update": 20' not in line] == theirs
    for name in ("model.safetensors", "optimizer.safetensors"):
        ours, theirs = ((r.checkpoint("last") / name).read_bytes() for r in (run, whole))
        assert hashlib.sha256(ours).digest() == hashlib.sha256(theirs).digest()


def test_no_updates_make_no_checkpoint(tmp_path, store):
    run = new_run(tmp_path / "run", store, training={"updates": 0})
    outcome, _ = train(run, store)
    assert not outcome.trained
    with pytest.raises(CheckpointError):
        run.checkpoint()


def test_another_seed_is_another_training(tmp_path, store, uninterrupted):
    run = new_run(tmp_path / "run", store, training={"seed": 2})
    train(run, store)
    assert remains(run)["last/model.safetensors"] != uninterrupted()["last/model.safetensors"]


def test_another_store_is_refused(tmp_path, store):
    run = new_run(tmp_path / "run", store)
    check_resumable(run, store)
    other = SimpleNamespace(sha256="0" * 64, path=tmp_path / "other")
    with pytest.raises(ConfigError, match="another token store"):
        check_resumable(run, other)


def test_two_trainings_of_one_run_are_one_too_many(tmp_path, store):
    run = new_run(tmp_path / "run", store)
    with run.lock(), pytest.raises(ResourceError, match="is being trained by process"):
        train(RunDirectory(run.path), store)
    train(run, store)
    assert (run.path / ".lock").read_text() == ""


def test_the_batches_of_a_resumed_run_begin_at_its_position(store):
    split = store.split("train")
    stream = token_budget_batches(split, budget=170, seed=1, start=FIRST_BATCH)
    positions = [batch.position for batch in itertools.islice(stream, batches_an_epoch(store) + 1)]
    assert positions[0] == (1, 0) and positions[-1] == (2, 0)
