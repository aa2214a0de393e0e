"""Pieces drawn in each epoch: the same text, and a function of (seed, epoch, pair)."""

import itertools
import os
import random
import subprocess
import sys
from collections import Counter
from threading import Thread

import numpy as np
import pytest
from tiny import corpus_lines

import data.batching
import data.subword_sampling
from cli.runs.config import build_section
from data.batching import EpochPlan, pair_groups, token_budget_batches
from data.config import DataConfig
from data.subword_sampling import (
    BpeDropout,
    SubwordSampling,
    UnigramSampling,
    subword_sampling,
)
from data.token_store import TokenizedSplit
from data.tokenization import Tokenizer, Vocabulary, train_tokenizer
from seq2seq.batch import FIRST_BATCH, PAD, BatchPosition
from seq2seq.errors import ConfigError

PAIRS = [*corpus_lines(90, seed=5), ("emoji 🙂 ba", "日本 ce")]
EVERY = np.arange(len(PAIRS))


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def tokenizer(request) -> Tokenizer:
    """Pieces of up to whole words, so that there are many ways to split text."""
    config = DataConfig(vocabulary_size=400, piece_model=request.param)
    return train_tokenizer([side for pair in PAIRS for side in pair], config)


@pytest.fixture(scope="module")
def split(tokenizer) -> TokenizedSplit:
    return split_of([tokenizer.encode(side) for pair in PAIRS for side in pair])


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    return train_tokenizer(
        [side for pair in PAIRS for side in pair], DataConfig(vocabulary_size=400)
    )


def split_of(sentences: list[list[int]]) -> TokenizedSplit:
    offsets = np.cumsum([0, *map(len, sentences)])
    ids = np.concatenate(sentences).astype(np.uint16)
    return TokenizedSplit(ids, offsets, np.arange(1, len(sentences) // 2 + 1))


def sampling(tokenizer, *, source=0.1, target=0.1, seed=1) -> SubwordSampling:
    vocabulary = tokenizer.vocabulary()
    ranked = min(vocabulary.scores.values()) == int(min(vocabulary.scores.values()))
    sampler = BpeDropout if ranked else UnigramSampling
    amounts = {"source": source, "target": target}
    samplers = {side: sampler(vocabulary, amount) for side, amount in amounts.items() if amount}
    return SubwordSampling(dict.fromkeys(samplers, vocabulary), samplers, seed)


def sides(split: TokenizedSplit) -> list[tuple[list[int], list[int]]]:
    return [(split.source(i).tolist(), split.target(i).tolist()) for i in range(len(split))]


def test_other_pieces_spell_the_same_text(tokenizer, split):
    drawn = sampling(tokenizer).resample(split, EVERY, epoch=1)
    assert drawn.lines.tolist() == split.lines.tolist()
    texts = [tuple(map(tokenizer.decode, pair)) for pair in sides(drawn)]
    assert texts == [tuple(map(tokenizer.decode, pair)) for pair in sides(split)]
    changed = [ours != theirs for ours, theirs in zip(sides(drawn), sides(split), strict=True)]
    assert sum(changed) > len(PAIRS) / 2


def test_the_pieces_of_a_pair_depend_on_seed_and_epoch_alone(tokenizer, split):
    whole = sides(sampling(tokenizer).resample(split, EVERY, epoch=3))
    some = EVERY[::-7]
    alone = sides(sampling(tokenizer).resample(split, some, epoch=3))
    assert alone == [whole[pair] for pair in some]
    in_thread = []
    again = sampling(tokenizer)
    thread = Thread(target=lambda: in_thread.extend(sides(again.resample(split, EVERY, epoch=3))))
    thread.start()
    thread.join()
    assert in_thread == whole


def test_another_process_draws_the_same(store):
    """SentencePiece's own sampling does not: its seeds are valid in one process only."""
    program = f"""
import numpy as np
from pathlib import Path
from data.subword_sampling import subword_sampling
from data.token_store import TokenStore
store = TokenStore.open(Path({str(store.path)!r}))
sampling = subword_sampling(store, source=0.3, target=0.1, seed=4)
drawn = sampling.resample(store.split("train"), np.arange(90), epoch=2)
print(drawn.ids.tolist(), drawn.offsets.tolist())
"""
    environments = [os.environ | {"PYTHONHASHSEED": seed} for seed in ("1", "2")]
    printed = {
        subprocess.check_output([sys.executable, "-c", program], env=each) for each in environments
    }
    ours = subword_sampling(store, source=0.3, target=0.1, seed=4)
    drawn = ours.resample(store.split("train"), np.arange(90), epoch=2)
    assert printed == {f"{drawn.ids.tolist()} {drawn.offsets.tolist()}\n".encode()}


def test_bpe_that_skips_no_merge_is_sentencepiece(bpe):
    dropout = BpeDropout(bpe.vocabulary(), 1e-12)
    for text in [*(side for pair in PAIRS for side in pair), "bace dibafogu", "lololo ha", "ba"]:
        ids = bpe.encode(text)
        words = bpe.vocabulary().words(ids)
        assert dropout.draw(words, random.Random(1)) == ids
        assert [*dropout._draw_long(tuple(ids), random.Random(1))] == ids  # as one long word


def test_bpe_that_skips_every_merge_gives_characters(bpe):
    words = bpe.vocabulary().words(bpe.encode("ba ce di"))
    for draw in (
        BpeDropout(bpe.vocabulary(), 1.0).draw(words, random.Random(1)),
        BpeDropout(bpe.vocabulary(), 1.0)._draw_long(sum(words, ()), random.Random(1)),
    ):
        assert bpe.pieces(draw) == list("▁ba▁ce▁di")


@pytest.mark.parametrize("long", [False, True])
def test_each_merge_is_skipped_with_the_given_probability(monkeypatch, long):
    monkeypatch.setattr(data.subword_sampling, "LONGEST_CACHED", 0 if long else 12)
    pieces = ["▁", "a", "b", "c", "ab", "▁ab", "▁abc"]
    vocabulary = Vocabulary(
        {piece: 4 + n for n, piece in enumerate(pieces)},
        {piece: -float(n) for n, piece in enumerate(pieces)},
    )
    dropout, rng = BpeDropout(vocabulary, 0.3), random.Random(2)
    found = Counter(tuple(dropout.draw([(10,)], rng)) for _ in range(8000))
    # a b, then ▁ ab, then ▁ab c, each done with 0.7; a skipped one ends it
    expected = {(10,): 0.343, (9, 7): 0.147, (4, 8, 7): 0.21, (4, 5, 6, 7): 0.3}
    assert set(found) == set(expected)
    for ids_drawn, share in expected.items():
        assert found[ids_drawn] / 8000 == pytest.approx(share, abs=0.02)


def test_unigram_segmentations_are_as_probable_as_their_pieces():
    scores = {"▁": -1.0, "a": -2.0, "b": -2.5, "▁a": -1.5, "ab": -1.8, "▁ab": -3.0, "c": -9.0}
    vocabulary = Vocabulary({piece: 4 + n for n, piece in enumerate(scores)}, scores)
    splits = [("▁", "a", "b"), ("▁a", "b"), ("▁", "ab"), ("▁ab",)]
    ids = [tuple(vocabulary.ids[piece] for piece in pieces) for pieces in splits]
    shares = np.exp([0.5 * sum(scores[piece] for piece in pieces) for pieces in splits])
    sampler, rng = UnigramSampling(vocabulary, 0.5), random.Random(3)
    found = Counter(tuple(sampler.draw([ids[3]], rng)) for _ in range(8000))
    assert set(found) == set(ids)
    for ids_drawn, share in zip(ids, shares / shares.sum(), strict=True):
        assert found[ids_drawn] / 8000 == pytest.approx(share, abs=0.02)


def test_epochs_seeds_and_sides_have_draws_of_their_own(tokenizer, split):
    def drawn(seed, epoch):
        return sides(sampling(tokenizer, seed=seed).resample(split, EVERY, epoch=epoch))

    assert len({str(drawn(seed, epoch)) for seed in (1, 2) for epoch in (1, 2, 12)}) == 6
    same = split_of([tokenizer.encode("ba ce di fo gu ha je ki lo")] * 40)
    drawn_sides = sides(sampling(tokenizer).resample(same, np.arange(20), epoch=1))
    assert any(source != target for source, target in drawn_sides)
    assert len({str(source) for source, _ in drawn_sides}) > 2


def test_only_a_side_with_an_amount_is_sampled(tokenizer, split):
    sources, targets = zip(*sides(split), strict=True)
    drawn = sides(sampling(tokenizer, target=0.0).resample(split, EVERY, epoch=1))
    assert tuple(pair[1] for pair in drawn) == targets
    assert tuple(pair[0] for pair in drawn) != sources


def test_a_word_outside_the_vocabulary_keeps_its_pieces(tokenizer):
    pieces = tokenizer.pieces(range(len(tokenizer)))
    broken = [*tokenizer.encode("ba"), pieces.index("<0xFF>")]
    for epoch in range(1, 9):
        split = split_of([[*broken, *tokenizer.encode("ce di fo gu ha je")], broken])
        drawn = sampling(tokenizer, source=0.5, target=0.5).resample(split, EVERY[:1], epoch=epoch)
        ((source, target),) = sides(drawn)
        assert source[: len(broken)] == target == broken


def test_a_tag_stays_in_front_of_other_pieces():
    config = DataConfig(vocabulary_size=400)
    tagging = train_tokenizer([side for pair in PAIRS for side in pair], config, tags=["back"])
    tag = tagging.tags["back"]
    text = "ba ce di fo gu ha je ki lo"
    tagged = split_of([[tag, *tagging.encode(text)], tagging.encode(text)])
    untagged = split_of([tagging.encode(text)] * 2)
    for epoch in range(1, 9):
        drawn = [
            sides(sampling(tagging).resample(each, np.arange(1), epoch=epoch))[0]
            for each in (tagged, untagged)
        ]
        assert drawn[0] == ([tag, *drawn[1][0]], drawn[1][1])


def stream(split, tokenizer, start=FIRST_BATCH, **options):
    return token_budget_batches(
        split, EpochPlan(budget=60, seed=1, sampling=sampling(tokenizer), **options), start=start
    )


def contents_of(batch):
    return batch.position, batch.lines, batch.source.ids.tolist(), batch.target_ids.tolist()


@pytest.mark.parametrize("pool", [1, 4, 128])
def test_any_position_begins_the_rest_of_the_stream(tokenizer, split, monkeypatch, pool):
    monkeypatch.setattr(data.batching, "POOL_BATCHES", pool)
    count = len(pair_groups(split, EpochPlan(budget=60, seed=1), epoch=1))
    whole = [contents_of(batch) for batch in itertools.islice(stream(split, tokenizer), count + 9)]
    assert whole[count][0] == BatchPosition(2, 0)
    for first in (*range(0, count, 3), count - 1, count, count + 4):
        start = whole[first][0]
        begun = itertools.islice(stream(split, tokenizer, start), count + 9 - first)
        assert [contents_of(batch) for batch in begun] == whole[first:]


def test_a_sampled_epoch_has_each_pair_once_in_as_many_batches(tokenizer, split, monkeypatch):
    monkeypatch.setattr(data.batching, "POOL_BATCHES", 5)
    for epoch in (1, 2):
        count = len(pair_groups(split, EpochPlan(budget=60, seed=1), epoch=epoch))
        begun = stream(split, tokenizer, BatchPosition(epoch, 0))
        batches = list(itertools.islice(begun, count))
        assert [batch.position for batch in batches] == [(epoch, n) for n in range(count)]
        lines = Counter(line for batch in batches for line in batch.lines)
        assert lines == Counter(split.lines.tolist())


def test_a_batch_has_the_drawn_pieces(tokenizer, split):
    drawn = sides(sampling(tokenizer).resample(split, EVERY, epoch=1))
    batch = next(stream(split, tokenizer))
    for row, line in enumerate(batch.lines):
        source = [i for i in batch.source.ids[row].tolist() if i != PAD]
        assert source[:-1] == drawn[line - 1][0]


def test_a_curriculum_sorts_by_the_drawn_lengths(tokenizer, split):
    count = len(pair_groups(split, EpochPlan(budget=60, seed=1), epoch=1))
    batches = itertools.islice(stream(split, tokenizer, curriculum="length"), count)
    widths = [max(b.source.ids.shape[1], b.labels.shape[1]) for b in batches]
    assert widths == sorted(widths)


def test_nothing_is_sampled_by_default(store):
    assert subword_sampling(store, source=0.0, target=0.0, seed=1) is None
    sampled = subword_sampling(store, source=0.0, target=0.1, seed=1)
    assert sampled is not None and list(sampled.samplers) == ["target"]


@pytest.mark.parametrize("amount", [-0.1, 1.1, "much"])
def test_an_amount_outside_0_to_1_is_refused(amount):
    for side in ("source", "target"):
        with pytest.raises(ConfigError, match=rf"training\.{side}_subword_sampling is"):
            build_section("training", {f"{side}_subword_sampling": amount})
