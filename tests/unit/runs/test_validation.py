"""Validation while training: searches and scores as the commands do; samples change nothing."""

import json

import numpy as np
import pytest
import torch
from reruns import fit_timed_by, interrupt, new_run, remains, train
from tiny import corpus_lines, prepare, write_corpus

from cli.runs.directory import RunDirectory
from cli.runs.history import Sample
from cli.runs.interruption import Interrupted, StopRequest
from cli.runs.progress import PlainReporter, sample_to_show
from cli.runs.translator import Translator
from cli.runs.validation import Validator, spread
from data.batching import collate
from data.config import DataConfig
from data.corpora import CorpusFiles
from seq2seq.batch import FIRST_BATCH
from seq2seq.config import TrainingConfig
from seq2seq.errors import ConfigError
from seq2seq.evaluation.quality import score_corpus
from seq2seq.training.events import TrainingState, Validation, ValidationScores
from seq2seq.training.losses import corpus_nats_per_token
from seq2seq.training.schedule import FEWEST


def validator_of(path, store, **training):
    run = new_run(path, store, training=training)
    torch.manual_seed(3)
    return run, Validator(run, store), run.build_model()


@pytest.mark.parametrize(("sentences", "beam"), [(3, 1), (12, 3), (500, 5)])
def test_the_scores_are_those_of_evaluate(tmp_path, store, sentences, beam):
    run, validator, model = validator_of(
        tmp_path / "run", store, validation_sentences=sentences, validation_beam=beam
    )
    measured = validator.measure(model, StopRequest())
    search = run.config.search.model_copy(update={"beam": beam})
    translator = Translator(model, run.tokenizer("source"), run.tokenizer("target"), search)
    chosen = spread(12, sentences)
    sources, references = store.valid_text("source"), store.valid_text("target")
    texts = [each.text for each in translator.translate([sources[i] for i in chosen])]
    report = score_corpus(texts, [[references[i] for i in chosen]])
    assert (measured.bleu, measured.chrf) == (report.bleu.score, report.chrf.score)


def test_samples_are_the_same_sentences_however_many_are_scored(tmp_path, store):
    found = []
    for number, sentences in enumerate((0, 2, 500)):
        _, validator, model = validator_of(
            tmp_path / str(number),
            store,
            validation_sentences=sentences,
            validation_beam=2,
            samples=3,
        )
        measured = validator.measure(model, StopRequest())
        assert (measured.bleu is None) == (sentences == 0)
        found.append(validator.samples)
    assert found[0] == found[1] == found[2]
    assert [sample.line for sample in found[0]] == [3, 7, 11]  # of 12
    texts = store.valid_text("source"), store.valid_text("target")
    for sample in found[0]:
        assert (sample.source, sample.reference) == tuple(text[sample.line - 1] for text in texts)


def test_a_coverage_penalty_of_the_search_needs_no_attention_in_validation(tmp_path, store):
    run = new_run(
        tmp_path / "run",
        store,
        model={"attention": "none"},
        training={"validation_beam": 2},
        search={"coverage_penalty": 0.2},
    )
    assert Validator(run, store).measure(run.build_model(), StopRequest()).chrf is not None


@pytest.mark.parametrize(
    "search", [{"sample": True}, {"diverse_groups": 2}, {"coverage_penalty": 0.9}], ids=str
)
def test_validation_searches_plainly_whatever_the_run_does(tmp_path, store, search):
    found = []
    for name, changes in (("plain", {}), ("other", search)):
        searching = {"beam": 2} | changes
        run = new_run(tmp_path / name, store, training={"validation_beam": 2}, search=searching)
        torch.manual_seed(3)
        validator = Validator(run, store)
        found.append((validator.measure(run.build_model(), StopRequest()), validator.samples))
    assert found[0] == found[1]


def test_samples_are_spread_evenly():
    assert spread(12, 3) == (2, 6, 10)
    assert spread(1000, 4) == (125, 375, 625, 875)
    assert spread(2, 4) == (0, 1)
    assert spread(5, 0) == spread(0, 3) == ()
    assert spread(3, None) == (0, 1, 2)


def test_a_blank_source_has_a_blank_translation(tmp_path):
    lines = list(corpus_lines(40, seed=1))
    train_files = CorpusFiles(*write_corpus(tmp_path, "train", lines))
    valid = CorpusFiles(*write_corpus(tmp_path, "valid", [("", ""), *lines[:2], ("  ", "ba")]))
    made = prepare(
        train_files, valid, tmp_path / "store", DataConfig(vocabulary_size=300), processes=1
    )
    _, validator, model = validator_of(tmp_path / "run", made.store)
    validator.measure(model, StopRequest())
    texts = made.store.valid_text("source"), made.store.valid_text("target")
    for sample in validator.samples:
        assert (sample.source, sample.reference) == tuple(text[sample.line - 1] for text in texts)
    blank = {each.line: each.translation == "" for each in validator.samples}
    assert not any(blank[line] for line in blank if line in (2, 3))
    assert all(blank[line] for line in blank if line in (1, 4))


def test_a_validation_can_be_interrupted_between_batches(tmp_path, store):
    _, validator, model = validator_of(tmp_path / "run", store)
    stop = StopRequest()
    stop.signal_number = 2
    with pytest.raises(Interrupted):
        validator.measure(model, stop)


def test_control_characters_in_samples_reach_no_terminal(tmp_path):
    odd = Sample(1, "\x1b[2Ja\x07 [red]", "\u202eb", "c\x9b3m")
    lines: list[str] = []
    reporter = PlainReporter(lines.append, tmp_path / "log", TrainingConfig())
    model = torch.nn.Linear(1, 1)
    reporter.start(model, TrainingState())  # type: ignore[arg-type]
    event = Validation(TrainingState(update=1, validated=1), ValidationScores(1.0, 2.0, 3.0), True)
    reporter.validation(event, (odd,))
    reporter.validation(event, (odd,))
    reporter.close()
    text = (tmp_path / "log").read_text()
    assert "\n".join(lines) + "\n" == text
    assert all(line.isprintable() for line in lines)
    assert "validation after update 1: perplexity 2.72, BLEU 2.0, chrF 3.0" in lines[1]
    assert ["source" in line for line in lines] == [False, False, True, False, False, False, False]
    assert sum("translation" in line for line in lines) == 2


def test_the_sample_that_is_shown_fits_a_screen():
    samples = [Sample(n, "w " * n, "", "") for n in (2, 8, 40)]
    assert sample_to_show(samples) == samples[1]
    assert sample_to_show(()) is None


def test_samples_are_kept_at_every_validation(tmp_path, store):
    run = new_run(tmp_path / "run", store, training={"samples": 2})
    train(run, store)
    kept = [json.loads(line) for line in run.samples.read_text().splitlines()]
    assert [each["update"] for each in kept] == [6, 6, 12, 12, 18, 18, 20, 20]
    assert kept == [line.values() for line in run.read_samples()]


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_a_run_ranked_by_bleu_or_chrf_resumes_to_the_same_bytes(tmp_path, store, metric):
    training = {"metric": metric, "samples": 1}
    whole = new_run(tmp_path / "whole", store, training=training)
    train(whole, store)
    run = new_run(tmp_path / "run", store, training=training)
    for k in (5, 6, 13):
        with pytest.raises(Interrupted):
            train(run, store, lambda e, k=k: interrupt() if e.state.update == k else None)
    train(run, store)
    assert remains(run) == remains(whole)


OPEN = {"validate_every": None, "metric": "chrf", "batch_tokens": 170}


def test_validation_that_is_left_open_is_settled_when_a_run_is_created(tmp_path, store):
    run = new_run(tmp_path / "run", store, training=OPEN)
    training = RunDirectory.open(run.path).config.training
    assert training.validate_every == round(20 / FEWEST)
    assert training.validation_sentences == len(store.split("valid")) == 12
    limited = new_run(tmp_path / "limited", store, training=OPEN | {"minutes": 1.0})
    assert RunDirectory.open(limited.path).config.training.validate_every is None


def test_a_run_whose_validation_is_left_open_resumes_to_the_same_bytes(tmp_path, store):
    whole = new_run(tmp_path / "whole", store, training=OPEN)
    _, reporter = train(whole, store)
    assert (
        "validation: every 2 updates, 12 sentences translated (greedy), best by chrF"
        in reporter.messages
    )
    run = new_run(tmp_path / "run", store, training=OPEN)
    for k in (1, 2, 13):
        with pytest.raises(Interrupted):
            train(run, store, lambda e, k=k: interrupt() if e.state.update == k else None)
    train(run, store)
    assert remains(run) == remains(whole)


def test_a_run_limited_by_minutes_is_validated_by_the_clock(tmp_path, store, monkeypatch):
    monkeypatch.setattr("cli.runs.training.fit", fit_timed_by(1 / 16))
    settings = OPEN | {"minutes": 1 / 16, "updates": 10**6}  # 60 updates and validations
    run = new_run(tmp_path / "run", store, training=settings)
    outcome, reporter = train(run, store)
    updates = [e.state.update for e in reporter.events if isinstance(e, Validation)]
    # after a twentieth of the time, then after eighths of it, because a validation takes more than
    # SHARE of a twentieth; and at the end
    assert updates == [3, 11, 19, 27, 35, 43, 51, 53]
    assert outcome.reason == "the 0.0625 minutes are over"
    assert outcome.state.validation_seconds == 1 / 16
    assert outcome.state.validated_at == pytest.approx(outcome.state.seconds)


def test_perplexity_is_that_of_sentences_spread_evenly(tmp_path, store):
    _, validator, model = validator_of(tmp_path / "run", store, perplexity_sentences=3)
    valid = store.split("valid")
    batches = [collate(valid, np.array([2, 6, 10]), FIRST_BATCH)]
    expected = corpus_nats_per_token(model, batches)
    assert validator.measure(model, StopRequest()).nats_per_token == pytest.approx(expected)


def test_bleu_as_metric_needs_sentences_to_translate():
    with pytest.raises(ConfigError, match="validation_sentences is 0") as caught:
        TrainingConfig(metric="bleu", validation_sentences=0)
    assert caught.value.hint
