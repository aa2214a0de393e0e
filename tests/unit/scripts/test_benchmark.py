"""The benchmark itself: counting, timing, products, and what is written for the peers."""

import itertools
import json
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from benchmarks import (
    commits,
    corpus,
    decoding,
    eole,
    joey,
    latency,
    latency_child,
    measurement,
    opennmt,
    ours,
    peers,
    preparation,
    products,
    quality,
    report,
)  # fmt: skip
from benchmarks.job import Job, Regime, Search, Sizes
from benchmarks.measurement import Measurement, Spread
from benchmarks.timer import Counts, StopTraining, UpdateTimer, stop_after_marks, then_stop

from data.batching import EpochPlan, pair_groups
from seq2seq.batch import FIRST_BATCH, Batch, Source
from seq2seq.config import ModelConfig, TrainingConfig
from seq2seq.errors import ConfigError

PAD, BOS, EOS = 0, 2, 3


class Clock:
    """A time that passes only when a test advances it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def take_all(timer: UpdateTimer, clock: Clock, stream, *, seconds: float) -> list:
    """Take all batches, as a trainer whose updates take so many seconds."""
    taken = []
    with pytest.raises(StopTraining):
        for batch in stream:
            taken.append(batch)
            clock.now += seconds
    return taken


def tokens(batch: int) -> Counts:
    return Counts(1, 2, 10, batch, batch + 1)


def job(tmp_path: Path, **settings) -> Job:
    given = {
        "system": "joey", "store": tmp_path / "store", "corpus": tmp_path / "corpus",
        "folder": tmp_path / "job", "pairs": 161, "sizes": Sizes(vocabulary=8000),
    }  # fmt: skip
    return Job(**given | settings)


def measured(system: str, number: int, *, tokens: int, seconds: float = 2.0) -> Measurement:
    inside = Counts(10, 80, 100, tokens, tokens)
    return Measurement(
        system=system, round=number, parameters=1, seconds=seconds, inside=inside,
        warmup=Counts(1, 8, 10, 10, 10), torch="2", threads=1, load=0.0, others=(),
    )  # fmt: skip


# --- the timer


def test_warm_up_is_neither_timed_nor_counted():
    clock = Clock()
    timer = UpdateTimer(2, clock=clock)
    stream = timer.watch(then_stop([50, 60, 7, 8, 9]), tokens)
    assert take_all(timer, clock, stream, seconds=3.0) == [50, 60, 7, 8, 9]
    assert timer.warmup_counts == Counts(2, 4, 20, 110, 112)
    assert timer.counts == Counts(3, 6, 30, 24, 27)
    assert timer.seconds == 9.0


def test_the_time_of_excluded_functions_does_not_count():
    clock = Clock()
    timer = UpdateTimer(clock=clock)

    def validate(seconds: float) -> str:
        clock.now += seconds
        return "validated"

    for _ in timer.watch([1, 2], tokens):
        clock.now += 5.0
        assert timer.exclude(validate)(100.0) == "validated"
    assert timer.seconds == 10.0


def test_fetching_the_first_batch_is_not_timed_after_a_warm_up():
    clock = Clock()
    timer = UpdateTimer(1, clock=clock)

    def slow():
        clock.now += 1000.0
        yield from [1, 2]

    for _ in timer.watch(slow(), tokens):
        clock.now += 1.0
    assert timer.seconds == 1.0


def test_a_mark_is_saved_once_although_every_epoch_is_a_new_stream():
    clock, saved = Clock(), []
    timer = UpdateTimer(clock=clock)

    def epoch():
        return stop_after_marks(timer.watch([1] * 4, tokens), timer, [3.0, 10.0], saved.append)

    for _ in epoch():  # 4 updates of 2 seconds: the first mark falls in the first epoch
        clock.now += 2.0
    assert saved == [3.0]
    take_all(timer, clock, epoch(), seconds=2.0)
    assert saved == [3.0, 10.0]
    assert [counts.updates for counts in timer.marked.values()] == [2, 5]


# --- tokens, from the tensors of each system

TARGETS = torch.tensor([[BOS, 7, 8, EOS], [BOS, 9, EOS, PAD], [BOS, EOS, PAD, PAD]])
EXPECTED = Counts(updates=1, sentences=3, source_tokens=9, target_tokens=6, padded_target_tokens=9)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1)])  # Eole's, OpenNMT-py's
def test_target_tokens_of_opennmt_and_eole(shape):
    batch = {"tgt": TARGETS.view(shape), "srclen": torch.tensor([4, 3, 2])}
    assert opennmt.count(batch, pad=PAD) == EXPECTED


def test_target_tokens_of_joey():
    batch = SimpleNamespace(trg=TARGETS[:, 1:], src_length=torch.tensor([4, 3, 2]))
    assert joey.count(batch, pad=PAD) == EXPECTED


def test_target_tokens_of_ours():
    batch = Batch(
        Source(torch.full((3, 4), 7), torch.tensor([4, 3, 2])), TARGETS, (1, 2, 3), FIRST_BATCH
    )
    assert ours.count(batch) == EXPECTED


@pytest.mark.parametrize("epochs", [1, 2])
def test_epochs_of_ours_consume_the_tokens_of_the_data(store, tmp_path, epochs):
    split = store.split("train")
    one = job(tmp_path, store=store.path, batch_tokens=200, epochs=epochs)
    consumed = sum((ours.count(batch) for batch in ours._epochs(store, one)), Counts())
    assert consumed.sentences == epochs * len(split)
    assert consumed.target_tokens == epochs * corpus.target_tokens(split)
    plans = [
        pair_groups(split, EpochPlan(budget=200, seed=1), epoch=each + 1) for each in range(epochs)
    ]
    assert consumed.updates == sum(map(len, plans))


def test_epochs_of_opennmt_end_by_stopping_the_training():
    stream = ((batch, batch // 3) for batch in itertools.count())  # three batches an epoch
    taken = []
    with pytest.raises(StopTraining):
        for batch, _ in opennmt._epochs(stream, 2):
            taken.append(batch)
    assert taken == [0, 1, 2, 3, 4, 5]


# --- medians and ratios


def test_speed_is_the_median_of_the_rounds():
    rounds = [measured("ours", n, tokens=t) for n, t in enumerate([200, 600, 300], start=1)]
    assert measurement.speed(rounds, "ours") == Spread(150.0, 100.0, 300.0)


def test_a_ratio_compares_what_ran_in_the_same_round():
    rounds = [
        measured("ours", 1, tokens=200), measured("joey", 1, tokens=100),
        measured("ours", 2, tokens=90), measured("joey", 2, tokens=30),
        measured("ours", 3, tokens=100), measured("joey", 3, tokens=100),
    ]  # fmt: skip
    assert measurement.ratio(rounds, "ours", "joey") == Spread(2.0, 1.0, 3.0)


def test_pairs_that_a_system_leaves_out_are_named():
    one = measured("opennmt", 1, tokens=100)  # with the warm-up: 88 sentences, 110 tokens
    assert measurement.token_difference(one, sentences=88, tokens=110) is None
    note = measurement.token_difference(one, sentences=90, tokens=130)
    assert note == ("opennmt consumed 110 target tokens of 130: it left out 2 pairs of 90")


# --- products


def test_multiply_adds_for_each_token_equal_those_counted_by_hand():
    # encoder 2 (256 + 256) 4 256; decoder (256 + 512 + 512) 4 512; keys 512 512; readout
    # (512 + 512) 512; output 512 8000; scores and context 2 15 512: 8.58 million with S = T
    by_hand = 1_048_576 + 2_621_440 + 262_144 + 524_288 + 4_096_000 + 15_360
    batch = products.MeanBatch(sentences=80, source=15, target=15)
    listed = products.forward(Sizes(vocabulary=8000), batch)
    assert sum(p.multiply_adds for p in listed) / batch.target_tokens == by_hand
    assert 8.3e6 < by_hand < 8.6e6


def test_the_additive_order_differs_only_in_its_query_and_score():
    batch = products.MeanBatch(sentences=8, source=5, target=5)
    sizes = Sizes(vocabulary=100)

    def count(order):
        return sum(p.multiply_adds for p in products.forward(sizes, batch, order))

    # a token more than general: the query 512 512, and 5 scores of 512, no longer a bmm of the same
    assert count("bahdanau") - count("luong") == 40 * 512 * 512


@pytest.mark.parametrize("order", ["luong", "bahdanau"])
def test_backward_multiplies_twice_as_much_as_forward(order):
    batch, sizes = products.MeanBatch(sentences=8, source=5, target=7), Sizes(vocabulary=100)
    forward = sum(p.multiply_adds for p in products.forward(sizes, batch, order))
    assert sum(p.multiply_adds for p in products.update(sizes, batch, order)) == 3 * forward


def test_every_product_can_be_run():
    batch = products.MeanBatch(sentences=2, source=3, target=2)
    small = Sizes(vocabulary=11, embedding=4, encoder=3, decoder=6, attention=5)
    for order in ("luong", "bahdanau"):
        listed = products.update(small, batch, order)
        assert products.seconds(listed, threads=torch.get_num_threads(), repetitions=1) > 0


def test_a_mean_batch_has_whole_sentences():
    inside = Counts(updates=3, sentences=241, source_tokens=3900, target_tokens=3500)
    one = measured("ours", 1, tokens=1)
    found = Measurement(**{**vars(one), "inside": inside}).mean_batch
    assert found == products.MeanBatch(sentences=80, source=16, target=15)


# --- the configuration of each system


def test_every_configuration_holds_the_same_sizes(tmp_path):
    one = job(tmp_path)
    flat = opennmt.settings(one)
    assert (flat["word_vec_size"], flat["hidden_size"], flat["encoder_type"]) == (256, 512, "brnn")
    nested = eole.settings(one)["model"]
    assert nested["embeddings"] == {"word_vec_size": 256}
    assert nested["encoder"]["hidden_size"] == nested["decoder"]["hidden_size"] == 512
    assert nested["encoder"]["encoder_type"] == "brnn" and nested["architecture"] == "custom"
    joeys = joey.settings(one)["model"]
    assert joeys["encoder"]["embeddings"]["embedding_dim"] == 256
    assert (joeys["encoder"]["hidden_size"], joeys["decoder"]["hidden_size"]) == (256, 512)
    config = ModelConfig(**ours.settings(one)["model"])
    assert (config.embedding_size, config.encoder_size, config.decoder_size) == (256, 256, 512)
    assert config.tie_embeddings == "none" and config.uses_input_feeding


def test_every_configuration_holds_the_same_regime(tmp_path):
    regime = Regime(dropout=0.2, label_smoothing=0.05, clip_norm=2.0, learning_rate=3e-4)
    one = job(tmp_path, regime=regime, batch_tokens=1500)
    flat, nested = opennmt.settings(one), eole.settings(one)["training"]
    joeys, config = joey.settings(one), TrainingConfig(**ours.settings(one)["training"])
    assert [flat["dropout"], *nested["dropout"]] == [0.2, 0.2]
    assert joeys["model"]["decoder"]["hidden_dropout"] == 0.2
    assert ours.settings(one)["model"]["dropout"] == 0.2
    smoothing = [x["label_smoothing"] for x in (flat, nested, joeys["training"])]
    assert [*smoothing, config.label_smoothing] == [0.05] * 4
    norms = [flat["max_grad_norm"], nested["max_grad_norm"], joeys["training"]["clip_grad_norm"]]
    assert [*norms, config.clip_norm] == [2.0] * 4
    rates = [x["learning_rate"] for x in (flat, nested, joeys["training"])]
    assert [*rates, config.learning_rate] == [3e-4] * 4
    assert flat["bucket_size"] == nested["bucket_size"] == one.pairs == 161
    assert joeys["training"]["logging_freq"] == one.updates_an_epoch == 3
    assert joeys["training"]["validation_freq"] % joeys["training"]["logging_freq"] == 0


def test_a_documented_configuration_holds_no_part_of_the_regime(tmp_path):
    one = job(tmp_path, documented=True, regime=Regime(dropout=0.42, learning_rate=0.042))
    for system in (opennmt, joey):
        assert "0.42" not in json.dumps(system.settings(one))
        assert "0.042" not in json.dumps(system.settings(one))
    assert not {"optim", "hidden_size", "batch_size"} & {*opennmt.settings(one)}
    decoder = joey.settings(one)["model"]["decoder"]
    assert (decoder["rnn_type"], decoder["hidden_size"]) == ("gru", 1000)


def test_a_peer_that_documents_no_recurrent_model_is_not_compared_so(tmp_path):
    one = job(tmp_path, documented=True)
    assert preparation.chosen_peers(None, one) == ["opennmt", "joey"]
    with pytest.raises(ConfigError, match="eole is not compared as documented"):
        preparation.chosen_peers(["eole"], one)


def test_every_configuration_is_plain_json(tmp_path):
    for system, documented in itertools.product((opennmt, eole, joey, ours), (False, True)):
        chosen = system.settings(job(tmp_path, batch_tokens=100, documented=documented))
        assert json.loads(json.dumps(chosen)) == chosen


def test_ours_without_a_recipe_is_given_no_setting_but_the_precision(tmp_path):
    command = ours.training(job(tmp_path), tmp_path / "run", recipe=None, minutes=5)
    assert [word for word in command if "=" in word] == ["--set=training.precision=float32"]
    assert "--recipe" not in command


def test_a_job_that_is_read_equals_the_one_that_was_written(tmp_path):
    one = job(tmp_path, marks=(300.0, 600.0), order="bahdanau")
    assert Job.read(one.write()) == one


def test_each_precision_of_ours_has_a_training_and_folder_of_its_own(tmp_path):
    ours_in = preparation.our_jobs(job(tmp_path), ["float32", "bfloat16"])
    assert [own.precision for own, _ in ours_in.values()] == ["float32", "bfloat16"]
    assert len({own.folder for own, _ in ours_in.values()}) == 2
    assert ours.settings(ours_in["ours in bfloat16"][0])["training"]["precision"] == "bfloat16"


def test_the_table_has_a_ratio_to_each_precision_of_ours():
    names = ["ours in float32", "ours in bfloat16"]
    rounds = [
        measured(names[0], 1, tokens=200), measured(names[1], 1, tokens=400),
        measured("joey", 1, tokens=100),
    ]  # fmt: skip
    table = report.training_table(rounds, names)
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert [row[0] for row in rows] == [
        "seq2seq in float32", "seq2seq in bfloat16", "Joey NMT",
    ]  # fmt: skip
    assert rows[2][-2:] == ("2.00 (2.00 to 2.00)", "4.00 (4.00 to 4.00)")


# --- the corpus


def test_peers_read_the_pieces_of_the_store(store, tmp_path):
    corpus.write_pieces(store, tmp_path)
    tokenizer, split = store.tokenizer("source"), store.split("train")
    lines = (tmp_path / "train.target").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(lines) == len(split)
    assert lines[3].split(" ") == tokenizer.pieces(split.target(3).tolist())
    entries = (tmp_path / "vocabulary").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(entries) == len(tokenizer) - 4 and not {"<s>", "</s>", "<unk>"} & set(entries)
    assert sum(len(line.split(" ")) + 1 for line in lines) == corpus.target_tokens(split)


def test_pieces_are_joined_to_text(store, tmp_path):
    tokenizer = store.tokenizer("target")
    split = store.split("valid")
    lines = corpus.sentences(split, "target", tokenizer)
    expected = [tokenizer.decode(split.target(i).tolist()) for i in range(len(split))]
    assert corpus.join_pieces(lines, tokenizer) == expected


def test_a_store_of_the_first_pairs(store, tmp_path):
    whole, cut = store.split("train"), corpus.first_pairs(store, 5, tmp_path / "cut")
    cut.verify()
    split = cut.split("train")
    assert len(split) == 5 and split.lines.tolist() == whole.lines[:5].tolist()
    assert [split.target(i).tolist() for i in range(5)] == [
        whole.target(i).tolist() for i in range(5)
    ]
    assert corpus.first_pairs(store, 10**6, tmp_path / "all") is store


def test_the_budget_gives_the_number_of_sentences_in_a_batch(store):
    split = store.split("train")
    budget = corpus.budget_for(split, 8)
    plan = pair_groups(split, EpochPlan(budget=budget, seed=1), epoch=1)
    assert len(split) / len(plan) >= 8
    smaller = pair_groups(split, EpochPlan(budget=budget - 1, seed=1), epoch=1)
    assert len(split) / len(smaller) < 8


# --- the peers


def test_a_patch_is_applied_once_and_refused_for_another_file(tmp_path):
    (tmp_path / "a.py").write_text("f(x)\ng(y)\n")
    patch = peers.Patch("a.py", "f(x)", "f(x, y)", "f has a new argument")
    peers.apply(patch, tmp_path)
    assert (tmp_path / "a.py").read_text() == "f(x, y)\ng(y)\n"
    with pytest.raises(peers.InstallationError, match="f has a new argument"):
        peers.apply(patch, tmp_path)


def test_every_requirement_of_every_peer_is_pinned():
    for peer in peers.PEERS:
        assert all("==" in requirement for requirement in peer.requirements)
        assert not any(requirement.startswith("torch==") for requirement in peer.requirements)


def test_what_was_measured_for_the_same_request_is_not_measured_again(tmp_path):
    made = []

    def measure() -> list[dict]:
        made.append(1)
        return [{"bleu": 40.0 + len(made)}]

    path = tmp_path / "rows.json"
    assert quality.cached(path, {"minutes": 5, "place": tmp_path}, measure) == [{"bleu": 41.0}]
    assert quality.cached(path, {"minutes": 5, "place": tmp_path}, measure) == [{"bleu": 41.0}]
    assert quality.cached(path, {"minutes": 9, "place": tmp_path}, measure) == [{"bleu": 42.0}]


# --- translation


@pytest.mark.parametrize("module", [opennmt, eole])
def test_a_peer_is_asked_for_the_same_search(module, tmp_path):
    asked = Search(beam=3, batch_sentences=7, length=11)
    words = module.translation(job(tmp_path), 60, tmp_path / "in", tmp_path / "out", search=asked)
    given = {name.lstrip("-"): value for name, value in itertools.pairwise(words)}
    assert (given["beam_size"], given["batch_size"]) == ("3", "7")
    assert (given["min_length"], given["max_length"]) == ("11", "11")
    free = module.translation(job(tmp_path), 60, tmp_path / "in", tmp_path / "out", search=Search())
    assert not [word for word in free if "min_length" in word]


def test_joey_is_asked_for_the_same_search(tmp_path):
    (tmp_path / "job").mkdir()
    asked = Search(beam=3, batch_sentences=7, length=11)
    words = joey.translation(job(tmp_path), 60, tmp_path / "in", tmp_path / "out", search=asked)
    testing = json.loads(Path(words[3]).read_text())["testing"]
    assert (testing["beam_size"], testing["batch_size"]) == (3, 7)
    assert (testing["min_output_length"], testing["max_output_length"]) == (11, 11)


def test_ours_is_asked_for_the_same_search(tmp_path):
    words = ours.search_command(
        job(tmp_path), tmp_path, tmp_path / "in", Search(beam=3, length=11), ["--precision", "int8"]
    )
    assert words[words.index("--beam") + 1] == "3" and words[-2:] == ["--precision", "int8"]
    assert {"--set=search.min_length=11", "--set=search.max_length=11"} <= set(words)


def test_speed_leaves_out_what_one_sentence_takes_and_ratios_are_of_one_round():
    found = [
        decoding.Measurement(system, "beam 5", number, 99, seconds, 4.0, 30.0, 0.0)
        for number, slow in ((1, 1), (2, 3))  # the machine is three times slower in round 2
        for system, seconds in (("ours --precision int8", 11.0 * slow), ("opennmt", 33.0 * slow))
    ]
    assert [each.sentences_per_second for each in found] == [9.0, 3.0, 3.0, 1.0]
    table = report.decoding_table(found)
    cells = [list(column.cells) for column in table.columns]
    assert cells[0] == ["ours --precision int8", "OpenNMT-py"]
    assert cells[1:3] == [["6.0", "2.0"], ["3.0 to 9.0", "1.0 to 3.0"]]
    assert cells[5] == ["3.00", "1.00"]


def test_calls_of_a_function_are_timed(monkeypatch):
    seconds = []
    monkeypatch.setattr(commits, "commits_of", lambda delay: time.sleep(delay) or delay)
    latency_child.time_calls("benchmarks.commits:commits_of", seconds)
    assert [commits.commits_of(delay) for delay in (0.02, 0.0)] == [0.02, 0.0]
    assert len(seconds) == 2 and seconds[0] >= 0.02 > seconds[1] >= 0


def test_latencies_of_all_rounds_are_ranked_together():
    found = [
        latency.Latencies(system, number, tuple(slow * n / 1000 for n in range(1, 51)), 0.0)
        for number, slow in ((1, 1), (2, 2))
        for system in ("ours", "joey")
    ]
    cells = [list(column.cells) for column in report.latency_table(found).columns]
    assert cells == [["ours", "Joey NMT"], ["34", "34"], ["92", "92"], ["100", "100"]]
    assert latency.sentences_of(["a b", "c", "d e", "f g"], words=2, count=2) == ["a b", "d e"]


def test_a_range_of_commits_is_its_first_and_those_that_changed_the_search(tmp_path, monkeypatch):
    repository = tmp_path / "repository"
    changes = ["README.md", "seq2seq/search/beam.py", "docs/search.md", "seq2seq/model.py"]

    def git(*words):
        name = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *name, *words], cwd=repository, check=True, capture_output=True)

    repository.mkdir()
    git("init")
    for number, name in enumerate(changes):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(str(number))
        git("add", "-A")
        git("commit", "-m", name)
    monkeypatch.setattr(commits, "REPOSITORY", repository)
    found = commits.commits_of(["HEAD~3..HEAD", "HEAD"], tmp_path / "trees")
    assert [each.subject for each in found] == [changes[0], changes[1], changes[3]]
    assert [(each.tree / "seq2seq/model.py").exists() for each in found] == [False, False, True]


def test_a_commit_is_measured_by_what_it_translates(capsys):
    root = Path(commits.__file__).parents[2]
    tree = commits.Commit("abc1234", "the present one", root)
    run, lines = root / "tests/golden/runs/format-2/run", ["ba ce di", "", "ba"]
    request = {"run": str(run), "search": {"beam": 2}, "lines": lines, "repeats": 1}
    list(commits.measure_rounds([tree], request, rounds=2))
    assert len(tree.texts) == 3 and tree.texts[1] == "" and len(tree.seconds) == 2
    assert 0.05 < tree.product_share < 0.95
    other = replace(tree, texts=["x", *tree.texts[1:]], scores=[2 * tree.scores[0], 0, 1])
    assert other.changed(tree) == 1 and tree.changed(tree) == 0
    assert tree.score_difference(tree) == 0 and other.score_difference(tree) >= 1
    report.show_commits([tree, other], request)
    assert "abc1234" in capsys.readouterr().out
