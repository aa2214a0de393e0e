"""BLEU, chrF and TER: scores equal sacreBLEU's, and what it does not check is refused or noted."""

import subprocess
import sys

import pytest

from seq2seq.errors import ConfigError, CorpusError
from seq2seq.evaluation import quality
from seq2seq.evaluation.quality import (
    copied_share,
    quick_quality,
    score_corpus,
)

HYPOTHESES = ["The cat sat on the mat today.", "A dog runs.", "", "He bought three red apples ."]
REFERENCES = [
    "The cat sat on a mat today.",
    "A dog is running.",
    "Nobody.",
    "He bought red apples.",
]


def test_a_corpus_equal_to_its_reference_scores_100():
    report = score_corpus(REFERENCES, [REFERENCES])
    assert report.bleu.score == pytest.approx(100, abs=1e-9)
    assert report.chrf.score == pytest.approx(100, abs=1e-9)
    assert report.ter.score == 0


def test_bleu_of_a_sentence_computed_by_hand():
    # Seven tokens, "the" for "a": 6/7, 4/6, 2/5 and 1/4 of the n-grams match, lengths are equal.
    report = score_corpus(["the cat sat on the mat today"], [["the cat sat on a mat today"]])
    assert report.bleu.score == pytest.approx(100 * (6 / 7 * 4 / 6 * 2 / 5 * 1 / 4) ** 0.25)
    assert report.bleu.details["brevity_penalty"] == 1
    assert report.ter.score == pytest.approx(100 / 7)  # one of seven words must be changed


def test_signatures_are_those_of_sacrebleu():
    report = score_corpus(HYPOTHESES, [REFERENCES, REFERENCES])
    assert report.bleu.signature.startswith("nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert report.chrf.signature.startswith(
        "nrefs:2|case:mixed|eff:yes|nc:6|nw:0|space:no|version:"
    )
    assert report.ter.signature.startswith("nrefs:2|case:lc|tok:tercom|norm:no|punct:yes|asian:no|")


def test_validation_bleu_is_the_bleu_of_the_report():
    report = score_corpus(HYPOTHESES, [REFERENCES], target_language="de")
    quick = quick_quality(HYPOTHESES, [REFERENCES], "de")
    assert (quick.bleu, quick.chrf) == (report.bleu.score, report.chrf.score)
    details = report.bleu.details
    assert quick.length_ratio == details["hypothesis_length"] / details["reference_length"]


def test_copied_words_are_those_of_the_source_that_the_reference_does_not_have():
    # "Haus" and "blau" are copied, "Otto" is in the reference too: 2 of 7 words.
    sources, references = ["Haus blau Otto", "ja"], ["house blue Otto", "yes"]
    assert copied_share(sources, ["Haus is blau , Otto", "yes indeed"], references) == 2 / 7
    assert copied_share(["a"], [""], ["b"]) == 0


def test_unequal_counts_are_refused_with_both_counts():
    # sacreBLEU itself gives corpus_score(["a"], [["a", "b"]]) a figure.
    for measure in (score_corpus, quick_quality):
        with pytest.raises(CorpusError, match="the reference has 2 lines for 1 hypotheses"):
            measure(["a"], [["a", "b"]])
        with pytest.raises(CorpusError, match="reference 2 has 1 lines for 2 hypotheses"):
            measure(["a", "b"], [["a", "b"], ["a"]])


def test_nothing_to_score_is_refused():
    for measure in (score_corpus, quick_quality):
        with pytest.raises(CorpusError, match="no hypotheses"):
            measure([], [[]])


def test_references_that_are_not_lists_of_lines_raise_value_error():
    with pytest.raises(ValueError, match="lists of lines"):
        score_corpus(["ab"], ["ab"])
    with pytest.raises(ValueError, match="no reference"):
        score_corpus(["ab"], [])


def test_blank_hypotheses_are_counted_and_scored():
    report = score_corpus(["", " \t", "a b c d"], [["x", "y", "a b c d"]])
    assert (report.sentences, report.blank_hypotheses) == (3, 2)
    assert 0 < report.bleu.score < 100


def test_only_blank_hypotheses_score_zero():
    report = score_corpus(["", ""], [["a", "b"]], confidence=True)
    assert (report.bleu.score, report.chrf.score, report.ter.score) == (0, 0, 100)
    assert (report.bleu.low, report.bleu.high) == (0, 0)


@pytest.mark.parametrize(
    ("language", "signature"),
    [
        (None, "tok:13a"),
        ("de", "tok:13a"),
        ("zh", "tok:zh"),
        ("zh-TW", "tok:zh"),
        ("zh_Hans", "tok:zh"),
        ("cmn", "tok:zh"),
    ],
)
def test_the_tokenizer_follows_the_target_language(language, signature):
    report = score_corpus(["猫坐在垫子上。"], [["猫坐在垫子上面。"]], target_language=language)
    assert f"|{signature}|" in report.bleu.signature


def test_chinese_without_its_language_is_noted():
    # A near-perfect line scores 0.00 with tok:13a.
    report = score_corpus(["猫坐在垫子上。"], [["猫坐在垫子上面。"]])
    assert any("look Chinese or Japanese" in note for note in report.notes)
    report = score_corpus(["猫坐在垫子上。"], [["猫坐在垫子上面。"]], target_language="zh")
    assert report.bleu.score > 50
    assert report.notes == ()


def test_without_mecab_characters_are_counted_and_the_note_says_how_to_install():
    code = """
import sys
sys.modules["MeCab"] = sys.modules["mecab_ko"] = None  # as if they were not installed
from seq2seq.errors import ConfigError
from seq2seq.evaluation.quality import score_corpus
for language in ("ja", "ko"):
    report = score_corpus(["今日は"], [["今日は"]], target_language=language)
    assert "|tok:char|" in report.bleu.signature, report.bleu.signature
    assert f"seq2seq-trainer[{language}]" in report.notes[0], report.notes
try:
    score_corpus(["a"], [["a"]], tokenizer="ja-mecab")
except ConfigError as error:
    sys.exit("seq2seq-trainer[ja]" not in error.hint)
sys.exit("not refused")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unavailable_tokenizer_is_refused_with_a_hint():
    with pytest.raises(ConfigError) as caught:
        score_corpus(["a"], [["a"]], tokenizer="moses")
    assert caught.value.hint is not None and "13a" in caught.value.hint


def test_a_script_without_spaces_is_noted():
    report = score_corpus(["แมวนั่งบนเสื่อ"], [["แมวนั่งบนเสื่อ"]], target_language="th")
    assert any("without spaces" in note for note in report.notes)


def test_lowercase_ignores_case_in_every_figure():
    shouted = [line.upper() for line in REFERENCES]
    report = score_corpus(shouted, [REFERENCES], lowercase=True)
    assert report.bleu.score == pytest.approx(100, abs=1e-9)
    assert report.chrf.score == pytest.approx(100, abs=1e-9)
    assert report.ter.score == 0
    assert score_corpus(shouted, [REFERENCES]).bleu.score < 50


def test_the_interval_is_the_same_every_time_and_named_in_the_signature(monkeypatch):
    monkeypatch.delenv("SACREBLEU_SEED", raising=False)
    first = score_corpus(HYPOTHESES * 5, [REFERENCES * 5], confidence=True)
    second = score_corpus(HYPOTHESES * 5, [REFERENCES * 5], confidence=True)
    assert first == second
    for metric in first.metrics:
        assert "|bs:1000|seed:12345|" in metric.signature
        assert metric.low is not None and metric.high is not None
        assert metric.low < metric.score < metric.high
    assert score_corpus(HYPOTHESES, [REFERENCES]).bleu.low is None


def test_the_interval_is_that_of_sacrebleus_own_bootstrap(monkeypatch):
    monkeypatch.delenv("SACREBLEU_SEED", raising=False)
    from sacrebleu.metrics import METRICS

    # An odd number of lines, all of them with some match: see the next test.
    hypotheses, references = (HYPOTHESES[:2] * 7)[:13], (REFERENCES[:2] * 7)[:13]
    report = score_corpus(hypotheses, [references], confidence=True, bootstrap_samples=400)
    for name, ours in zip(["BLEU", "CHRF", "TER"], report.metrics, strict=True):
        theirs = METRICS[name]().corpus_score(hypotheses, [references], n_bootstrap=400)
        # sacreBLEU averages chrF and TER in float32.
        assert ours.low == pytest.approx(float(theirs._mean - theirs._ci), abs=2e-5)
        assert ours.high == pytest.approx(float(theirs._mean + theirs._ci), abs=2e-5)


def test_resamples_of_which_some_score_zero_have_an_interval():
    # sacreBLEU 2.6.0 fails: "don't know how to coerce float and float32".
    report = score_corpus(["a b", ""], [["a b c", "d"]], confidence=True)
    assert report.chrf.low is not None


def test_a_seed_that_is_not_a_number_is_refused(monkeypatch):
    monkeypatch.setenv("SACREBLEU_SEED", "tuesday")
    with pytest.raises(ConfigError, match="SACREBLEU_SEED is 'tuesday'"):
        score_corpus(["a"], [["a"]], confidence=True)


def test_text_that_is_not_plain_is_noted():
    def notes(hypotheses, references=("a b c d e",)):
        return " ".join(score_corpus(list(hypotheses), [list(references)]).notes)

    assert "subword pieces" in notes(["▁a ▁b ▁c ▁d"])
    assert "1 of 1 hypotheses" in notes(["a@@ b c d"])
    assert "1 of 1 references" in notes(["a b c d"], ["a@@ b c d"])
    assert "escaped" in notes(["it&apos;s b c d"])
    assert "tokenised" in notes(["a b c d ."])
    assert "four tokens" in notes(["a b"])
    assert notes(["a b c d e"]) == ""


def test_hypotheses_in_lower_case_are_noted_unless_case_is_ignored():
    references = [f"A Man and {n} dogs are here today." for n in range(30)]
    lower = [line.lower() for line in references]
    assert "--lowercase" in score_corpus(lower, [references]).notes[0]
    assert score_corpus(lower, [references], lowercase=True).notes == ()
    assert "references are all lower" in score_corpus(references, [lower]).notes[0]
    assert score_corpus(lower, [lower]).notes == ()


def test_importing_quality_does_not_import_sacrebleu():
    code = f"import sys, {quality.__name__}; sys.exit('sacrebleu' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
