"""The corpus health report: planted faults are found where they are, and healthy text passes."""

import gzip
import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.cleaning import cleaning_rules, reason_to_drop
from data.config import DataConfig
from data.corpus import SentencePair
from data.health.examination import examine
from data.health.report import CorpusHealth, verdict
from data.health.shifts import find_stretches, length_correlation, trace_lines
from seq2seq.errors import CorpusError

one_line = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=40)

here = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def corpus_of(size: int, *, seed: int = 1) -> list[tuple[str, str]]:
    """Sentences of a made-up language pair: lengths go together, names and numbers survive."""
    draw = random.Random(f"corpus:{seed}")
    names = ["Berlin", "Maria", "Toronto", "Okafor", "Lena", "Ibrahim", "Chopin", "Quito"]
    pairs = []
    for _ in range(size):
        words = draw.choices(
            ["ein", "Hund", "läuft", "über", "die", "Wiese", "unter"], k=draw.randint(3, 22)
        )
        others = [word[::-1].lower() + draw.choice(["", "a", "os"]) for word in words]
        for _ in range(draw.randint(0, len(words) // 4)):
            others.pop(draw.randrange(len(others)))
        if draw.random() < 0.3:
            same = draw.choice([*names, str(draw.randint(2, 2030))])
            words.insert(draw.randrange(len(words)), same)
            others.insert(draw.randrange(len(others)), same)
        end = draw.choice(".....?!")
        pairs.append((" ".join(words) + end, " ".join(others) + end))
    return pairs


def write(folder: Path, sources: list[str], targets: list[str]) -> tuple[Path, Path]:
    paths = folder / "text.de", folder / "text.en"
    for path, lines in zip(paths, (sources, targets), strict=True):
        path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return paths


def check(folder: Path, pairs: list[tuple[str, str]]) -> CorpusHealth:
    return examine(*write(folder, [s for s, _ in pairs], [t for _, t in pairs]))


def codes(health: CorpusHealth) -> list[str]:
    return [finding.code for finding in health.findings]


@pytest.mark.parametrize("size", [1, 2, 10, 100, 1000, 5000])
def test_a_healthy_corpus_gives_no_warning(tmp_path, size):
    health = check(tmp_path, corpus_of(size, seed=size))
    assert not health.faults
    assert not health.warnings
    assert health.pairs == health.usable == size
    assert verdict(health).endswith("nothing to worry about")


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("side", [0, 1])
def test_one_deleted_line_is_found_about_where_it_was(tmp_path, seed, side):
    pairs = corpus_of(1200, seed=seed)
    index = random.Random(f"delete:{seed}").randrange(20, 1180)
    sides = [[pair[0] for pair in pairs], [pair[1] for pair in pairs]]
    del sides[side][index]
    health = examine(*write(tmp_path, *sides))
    fault = health.faults[0]
    assert fault.code == "unequal-counts"
    counts = [1200, 1200]
    counts[side] -= 1
    assert f"{counts[0]:,} lines" in fault.message
    assert f"{counts[1]:,}" in fault.message
    assert abs(fault.examples[1].line - (index + 1)) <= 10
    assert f"{('text.de', 'text.en')[side]} seems to lack 1 line near" in fault.advice
    assert len(health.stretches) == 2


@pytest.mark.parametrize("seed", range(2))
def test_a_shift_is_found_although_the_counts_agree(tmp_path, seed):
    pairs = corpus_of(1200, seed=seed)
    index = random.Random(f"shift:{seed}").randrange(20, 1100)
    targets = [t for _, t in pairs]
    del targets[index]
    health = examine(*write(tmp_path, [s for s, _ in pairs], [*targets, "One line more."]))
    assert "shifted" in [warning.code for warning in health.warnings]
    assert not health.faults
    shifted = [part for part in health.stretches if part.offset == -1]
    assert len(shifted) == 1
    assert abs(shifted[0].first - (index + 1)) <= 10


def test_a_temporary_shift_is_found_with_both_its_ends(tmp_path):
    pairs = corpus_of(3000)
    sources, targets = [s for s, _ in pairs], [t for _, t in pairs]
    del sources[1999], targets[999]
    health = examine(*write(tmp_path, sources, targets))
    offsets = [part.offset for part in health.stretches]
    assert offsets == [0, -1, 0]
    assert abs(health.stretches[1].first - 1000) <= 10
    assert abs(health.stretches[1].last - 1999) <= 10


def test_lines_missing_at_the_end_are_found_there(tmp_path):
    pairs = corpus_of(1000)
    health = examine(*write(tmp_path, [s for s, _ in pairs], [t for _, t in pairs[:-2]]))
    assert "seem aligned to the end" in health.faults[0].advice
    assert "the extra lines start at" in health.faults[0].advice
    assert "text.de:999" in health.faults[0].advice


@pytest.mark.parametrize("seed", range(2))
def test_a_shuffled_side_is_a_warning(tmp_path, seed):
    pairs = corpus_of(1000, seed=seed)
    targets = [t for _, t in pairs]
    random.Random(seed).shuffle(targets)
    health = examine(*write(tmp_path, [s for s, _ in pairs], targets))
    assert "unrelated" in codes(health)


def test_long_corpora_are_searched_in_blocks_and_refined_to_the_line():
    pairs = corpus_of(45_000)
    targets = [t for _, t in pairs]
    del targets[30_000]
    found = find_stretches(trace_lines([s for s, _ in pairs]), trace_lines(targets))
    assert [part.offset for part in found] == [0, -1]
    assert abs(found[1].first - 30_001) <= 10


@given(st.lists(st.tuples(one_line, one_line), max_size=12))
def test_stretches_cover_every_line_once(pairs):
    sources, targets = trace_lines([s for s, _ in pairs]), trace_lines([t for _, t in pairs])
    lines = [
        line
        for part in find_stretches(sources, targets)
        for line in range(part.first, part.last + 1)
    ]
    assert lines == list(range(1, len(pairs) + 1))


def test_lengths_that_hardly_vary_have_no_correlation():
    same = trace_lines(["abc"] * 50)
    assert length_correlation(same, same) is None


def test_invalid_utf_8_is_listed_and_the_report_still_comes(tmp_path):
    source, target = write(tmp_path, ["a"] * 9, ["b"] * 9)
    source.write_bytes(b"fine\ncaf\xe9\nfine\n\xff\nfine\nfine\nfine\nfine\nfine\n")
    health = examine(source, target)
    fault = health.faults[0]
    assert (fault.code, fault.count) == ("invalid-utf-8", 2)
    remarks = [example.remark for example in fault.examples]
    assert remarks == [f"{source}:2: byte 4 (0xe9)", f"{source}:4: byte 1 (0xff)"]
    assert (health.pairs, health.usable) == (9, 7)


def test_utf_16_is_recognised_with_and_without_a_byte_order_mark(tmp_path):
    source, target = write(tmp_path, ["a"] * 9, ["b"] * 9)
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        source.write_bytes("Männer laufen\n".encode(encoding) * 9)
        assert "utf-16" in [fault.code for fault in examine(source, target).faults]


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("MÃ¤nner", "“ä”"),
        ("itâ€™s", "“’”"),
        ("say â€œhiâ€\x9d", "“““"),
        ("Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "“пр”"),
        ("ä¸\xadæ–‡", "“中文”"),
    ],
)
def test_text_encoded_twice_is_suspected(tmp_path, text, decoded):
    health = check(tmp_path, [("a", "b"), (text, "c")])
    found = next(finding for finding in health.findings if finding.code == "encoded-twice")
    assert found.count == 1
    assert found.examples[0].line == 2
    assert decoded.strip("“”") in found.examples[0].remark


@pytest.mark.parametrize(
    "text",
    [
        "Spaß“ im Fuß…",
        "la qualité\xa0» et là\xa0»",
        "SÃO PAULO",
        "Ångström Øre Ünder",
        "привет",
        "中文",
        "«Ñandú»",
        "Âge",
    ],
)
def test_correct_text_is_not_suspected(tmp_path, text):
    assert "encoded-twice" not in codes(check(tmp_path, [(text, text + "!")]))


def test_lost_characters_line_breaks_and_control_characters_are_counted(tmp_path):
    odd = [("a\ufffd", "b"), ("a\u2028b", "c"), ("a\rb", "d"), ("\x1b[31m", "e"), ("f", "g\x85h")]
    health = check(tmp_path, odd)
    found = {finding.code: finding for finding in health.findings}
    assert found["lost-characters"].count == 1
    breaks = [finding for finding in health.findings if finding.code == "line-breaks"]
    assert [finding.count for finding in breaks] == [2, 1]
    assert [example.remark for example in breaks[0].examples] == [
        "U+2028 at character 2",
        "U+000D at character 2",
    ]
    assert found["control-characters"].count == 1
    assert health.pairs == 5


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("bpe-segmented", lambda text: re.sub(r"(\w{3})(\w)", r"\1@@ \2", text)),
        ("sentencepiece-segmented", lambda text: "▁" + text.replace(" ", " ▁")),
        ("tokenised", lambda text: text.removesuffix(".") + " ."),
        ("escaped", lambda text: f"&quot;{text}&quot;"),
        ("other-case", str.lower),
    ],
)
def test_text_that_another_tool_changed_is_a_warning(tmp_path, code, change):
    pairs = [(source, change(f"A Man: {target}")) for source, target in corpus_of(200)]
    health = check(tmp_path, [(f"The {source}", target) for source, target in pairs])
    (finding,) = (found for found in health.warnings if found.code == code)
    assert "text.en" in finding.message and "`" in finding.advice
    assert finding.count == 200 and len(finding.examples) == 3


def test_one_escaped_line_of_a_thousand_is_a_note(tmp_path):
    pairs = [*corpus_of(1000), ("Tom &amp; Anna", "Tom und Anna")]
    (finding,) = (found for found in check(tmp_path, pairs).findings if found.code == "escaped")
    assert (finding.severity, finding.examples[0].line) == ("note", 1001)


def test_duplicates_and_ambiguous_sources_are_counted(tmp_path):
    pairs = [("a", "x"), ("b", "y"), ("a", "x"), ("a", "z"), ("a", "x"), ("", ""), ("", "")]
    health = check(tmp_path, pairs)
    assert (health.duplicate_pairs, health.ambiguous_sources, health.blank_pairs) == (2, 1, 2)
    found = {finding.code: finding for finding in health.findings}
    assert found["duplicates"].examples[0].line == 1
    assert found["duplicates"].examples[0].remark == "3 times"
    assert [example.line for example in found["ambiguous"].examples] == [1, 4]


def test_windows_files_are_read_without_harm(tmp_path):
    source, target = write(tmp_path, ["a", "b"], ["c", "d"])
    source.write_bytes(b"\xef\xbb\xbfa\r\nb\r\n")
    health = examine(source, target)
    assert not health.faults
    assert {"byte-order-mark", "carriage-returns"} <= set(codes(health))


def test_a_byte_order_mark_is_removed_from_the_first_line_only_of_a_long_file(tmp_path):
    pairs = [(f"line {n}", "\ufeffzeile") for n in range(40_000)]
    health = check(tmp_path, pairs)
    assert health.target.characters is not None
    assert health.target.characters.least == 5  # of line 1
    assert health.target.characters.median == 6


def test_the_same_file_twice_is_a_warning(tmp_path):
    source, _ = write(tmp_path, ["a", "b"], [])
    health = examine(source, source)
    assert [warning.code for warning in health.warnings] == ["same-file"]
    assert health.identical_pairs == 2


def test_untranslated_pairs_are_a_warning_when_they_are_many(tmp_path):
    pairs = corpus_of(100)
    few = check(tmp_path, [*pairs, ("2019", "2019")])
    (finding,) = [each for each in few.findings if each.code == "identical"]
    assert [example.line for example in finding.examples] == [101]
    assert not few.warnings
    many = check(tmp_path, [*pairs, *((f"{n}", f"{n}") for n in range(50))])
    assert "identical" in [warning.code for warning in many.warnings]


@pytest.mark.parametrize("kind", ["blank", "long"])
def test_a_corpus_without_a_usable_pair_cannot_be_used(tmp_path, kind):
    line = "" if kind == "blank" else "word " * 500
    health = check(tmp_path, [(line, line)] * 50)
    assert [fault.code for fault in health.faults] == ["no-usable-pairs"]
    assert sum(drop.count for drop in health.drops) == 50


def test_empty_files_are_faults(tmp_path):
    source, target = write(tmp_path, [], ["a"])
    for paths in ((source, target), (target, source), (source, source)):
        assert "empty" in [fault.code for fault in examine(*paths).faults]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    source, target = write(tmp_path, ["a"] * 500, ["b"] * 500)
    with pytest.raises(CorpusError, match="nowhere does not exist"):
        examine(source, tmp_path / "nowhere")
    packed = gzip.compress(source.read_bytes())[:-9]
    source.write_bytes(packed)
    with pytest.raises(CorpusError, match=r"text\.de is a damaged compressed file"):
        examine(source, target)


def test_compressed_text_gives_the_same_report(tmp_path):
    source, target = write(tmp_path, *map(list, zip(*corpus_of(300), strict=True)))
    plain = examine(source, target, names=("s", "t"))
    source.write_bytes(gzip.compress(source.read_bytes()))
    assert examine(source, target, names=("s", "t")) == plain


@here
@given(st.lists(st.tuples(one_line, one_line), min_size=1, max_size=12))
def test_the_report_agrees_with_the_cleaning_rules_and_is_always_json(tmp_path, pairs):
    health = check(tmp_path, pairs)
    stripped = [SentencePair(s.removesuffix("\r"), t.removesuffix("\r")) for s, t in pairs]
    first = stripped[0]
    stripped[0] = SentencePair(
        first.source.removeprefix("\ufeff"), first.target.removeprefix("\ufeff")
    )
    rules = cleaning_rules(DataConfig())
    reasons = Counter(reason_to_drop(pair, rules) for pair in stripped)
    assert health.usable == reasons.pop(None, 0)
    assert {drop.reason: drop.count for drop in health.drops} == reasons
    nonblank = [pair for pair in stripped if pair.source.strip() and pair.target.strip()]
    assert health.duplicate_pairs == len(nonblank) - len(set(nonblank))
    assert health.identical_pairs == sum(pair.source == pair.target for pair in nonblank)
    again = json.loads(json.dumps(health.as_json()))
    assert again["schema_version"] == 1
    assert again["can_be_used"] == (not health.faults)
