"""Pieces drawn anew each epoch: the same text, a function of (seed, epoch, pair)."""

import itertools
from collections import Counter
from threading import Thread

import numpy as np
import pytest
from tiny import corpus_lines

import data.batching
from cli.config import build_section
from data.batching import epoch_plan, token_budget_batches
from data.config import DataConfig
from data.subword_sampling import SubwordSampling, subword_sampling
from data.token_store import TokenizedSplit
from data.tokenization import Tokenizer, train_tokenizer
from seq2seq.batch import FIRST_BATCH, PAD, BatchPosition
from seq2seq.errors import ConfigError

PAIRS = [*corpus_lines(90, seed=5), ("emoji 🙂 ba", "日本 ce")]
EVERY = np.arange(len(PAIRS))


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def tokenizer(request) -> Tokenizer:
    """Pieces of up to whole words, so that there are many ways to cut."""
    config = DataConfig(vocabulary_size=400, piece_model=request.param)
    return train_tokenizer([side for pair in PAIRS for side in pair], config)


@pytest.fixture(scope="module")
def split(tokenizer) -> TokenizedSplit:
    return split_of([tokenizer.encode(side) for pair in PAIRS for side in pair])


def split_of(sentences: list[list[int]]) -> TokenizedSplit:
    offsets = np.cumsum([0, *map(len, sentences)])
    ids = np.concatenate(sentences).astype(np.uint16)
    return TokenizedSplit(ids, offsets, np.arange(1, len(sentences) // 2 + 1))


def sampling(tokenizer, *, source=0.1, target=0.1, seed=1) -> SubwordSampling:
    return SubwordSampling(
        {"source": tokenizer, "target": tokenizer}, {"source": source, "target": target}, seed
    )


def sides(split: TokenizedSplit) -> list[tuple[list[int], list[int]]]:
    return [(split.source(i).tolist(), split.target(i).tolist()) for i in range(len(split))]


def test_other_pieces_spell_the_same_text(tokenizer, split):
    drawn = sampling(tokenizer).redrawn(split, EVERY, epoch=1)
    assert drawn.lines.tolist() == split.lines.tolist()
    texts = [tuple(map(tokenizer.decode, pair)) for pair in sides(drawn)]
    assert texts == [tuple(map(tokenizer.decode, pair)) for pair in sides(split)]
    changed = [ours != theirs for ours, theirs in zip(sides(drawn), sides(split), strict=True)]
    assert sum(changed) > len(PAIRS) / 2


def test_what_is_drawn_for_a_pair_depends_on_seed_and_epoch_alone(tokenizer, split):
    whole = sides(sampling(tokenizer).redrawn(split, EVERY, epoch=3))
    some = EVERY[::-7]
    tokenizer.sample("chance has been used in between", amount=0.5, seed=99)
    parted = sides(sampling(tokenizer).redrawn(split, some, epoch=3))
    assert parted == [whole[pair] for pair in some]
    elsewhere = []
    again = sampling(tokenizer)
    thread = Thread(target=lambda: elsewhere.extend(sides(again.redrawn(split, EVERY, epoch=3))))
    thread.start()
    thread.join()
    assert elsewhere == whole


def test_epochs_seeds_and_sides_have_draws_of_their_own(tokenizer, split):
    def drawn(seed, epoch):
        return sides(sampling(tokenizer, seed=seed).redrawn(split, EVERY, epoch=epoch))

    assert len({str(drawn(seed, epoch)) for seed in (1, 2) for epoch in (1, 2, 12)}) == 6
    same = split_of([tokenizer.encode("ba ce di fo gu ha je ki lo")] * 40)
    drawn_sides = sides(sampling(tokenizer).redrawn(same, np.arange(20), epoch=1))
    assert any(source != target for source, target in drawn_sides)
    assert len({str(source) for source, _ in drawn_sides}) > 2


def test_only_the_side_that_is_asked_for_is_drawn(tokenizer, split):
    sources, targets = zip(*sides(split), strict=True)
    drawn = sides(sampling(tokenizer, target=0.0).redrawn(split, EVERY, epoch=1))
    assert tuple(pair[1] for pair in drawn) == targets
    assert tuple(pair[0] for pair in drawn) != sources


def test_a_sentence_that_its_text_does_not_give_back_keeps_its_pieces(tokenizer):
    pieces = tokenizer.pieces(range(len(tokenizer)))
    broken = [pieces.index("<0xFF>"), *tokenizer.encode("ba ce di fo gu ha je")]
    unusual = [pieces.index("▁"), *map(pieces.index, "bace")]  # no encoder would cut it so
    assert tokenizer.encode("bace") != unusual
    split = split_of([broken, unusual])
    for epoch in range(1, 9):
        assert sides(
            sampling(tokenizer, source=0.5, target=0.5).redrawn(split, np.arange(1), epoch=epoch)
        ) == [(broken, unusual)]


def test_a_tag_stays_in_front_of_other_pieces():
    config = DataConfig(vocabulary_size=400)
    tagging = train_tokenizer([side for pair in PAIRS for side in pair], config, tags=["back"])
    tag = tagging.tags["back"]
    text = "ba ce di fo gu ha je ki lo"
    tagged = split_of([[tag, *tagging.encode(text)], tagging.encode(text)])
    untagged = split_of([tagging.encode(text)] * 2)
    for epoch in range(1, 9):
        drawn = [
            sides(sampling(tagging).redrawn(each, np.arange(1), epoch=epoch))[0]
            for each in (tagged, untagged)
        ]
        assert drawn[0] == ([tag, *drawn[1][0]], drawn[1][1])


def stream(split, tokenizer, start=FIRST_BATCH, **options):
    return token_budget_batches(
        split, budget=60, seed=1, start=start, sampling=sampling(tokenizer), **options
    )


def told(batch):
    return batch.position, batch.lines, batch.source_ids.tolist(), batch.target_ids.tolist()


@pytest.mark.parametrize("pool", [1, 4, 128])
def test_any_position_begins_the_rest_of_the_stream(tokenizer, split, monkeypatch, pool):
    monkeypatch.setattr(data.batching, "POOL", pool)
    count = len(epoch_plan(split, budget=60, seed=1, epoch=1))
    whole = [told(batch) for batch in itertools.islice(stream(split, tokenizer), count + 9)]
    assert whole[count][0] == BatchPosition(2, 0)
    for first in (*range(0, count, 3), count - 1, count, count + 4):
        start = whole[first][0]
        begun = itertools.islice(stream(split, tokenizer, start), count + 9 - first)
        assert [told(batch) for batch in begun] == whole[first:]


def test_a_sampled_epoch_has_each_pair_once_in_as_many_batches(tokenizer, split, monkeypatch):
    monkeypatch.setattr(data.batching, "POOL", 5)
    for epoch in (1, 2):
        count = len(epoch_plan(split, budget=60, seed=1, epoch=epoch))
        begun = stream(split, tokenizer, BatchPosition(epoch, 0))
        batches = list(itertools.islice(begun, count))
        assert [batch.position for batch in batches] == [(epoch, n) for n in range(count)]
        lines = Counter(line for batch in batches for line in batch.lines)
        assert lines == Counter(split.lines.tolist())


def test_drawn_pieces_are_what_a_batch_holds(tokenizer, split):
    drawn = sides(sampling(tokenizer).redrawn(split, EVERY, epoch=1))
    batch = next(stream(split, tokenizer))
    for row, line in enumerate(batch.lines):
        source = [i for i in batch.source_ids[row].tolist() if i != PAD]
        assert source[:-1] == drawn[line - 1][0]


def test_a_curriculum_holds_for_what_is_drawn(tokenizer, split):
    count = len(epoch_plan(split, budget=60, seed=1, epoch=1))
    batches = itertools.islice(stream(split, tokenizer, curriculum="length"), count)
    widths = [max(b.source_ids.shape[1], b.labels.shape[1]) for b in batches]
    assert widths == sorted(widths)


def test_nothing_is_sampled_unless_asked(store):
    assert subword_sampling(store, source=0.0, target=0.0, seed=1) is None
    asked = subword_sampling(store, source=0.0, target=0.1, seed=1)
    assert asked is not None and asked.amounts == {"source": 0.0, "target": 0.1}


@pytest.mark.parametrize("amount", [-0.1, 1.1, "much"])
def test_an_amount_that_is_no_share_is_refused(amount):
    for side in ("source", "target"):
        with pytest.raises(ConfigError, match=rf"training\.{side}_subword_sampling is"):
            build_section("training", {f"{side}_subword_sampling": amount})
