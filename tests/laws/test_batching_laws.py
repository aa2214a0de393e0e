"""Laws of token-budget batches: the pairs of an epoch, their order, and starts at any position."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
from examples import examples
from hypothesis import example, given
from hypothesis import strategies as st
from tiny import padded

from data.batching import (
    EpochPlan,
    collate,
    length_order,
    padded_lengths,
    pair_groups,
    sorted_batches,
    split_by_budget,
    split_into,
    token_budget_batches,
)
from data.token_store import StoredCorpus, TokenizedSplit
from seq2seq.batch import BOS, EOS, FIRST_BATCH, PAD, Batch, BatchPosition

some = examples(30)
sizes = st.integers(1, 12)
splits = st.lists(st.tuples(sizes, sizes), min_size=1, max_size=40).map(lambda n: split_of(n))
budgets = st.integers(1, 60)
epochs = st.integers(1, 1000)
plans = st.builds(EpochPlan, budget=budgets, seed=st.integers(0, 2**70))


def split_of(lengths: list[tuple[int, int]]) -> TokenizedSplit:
    """Pairs of those lengths; every token has a number of its own; lines are 10, 20, ..."""
    flat = [length for pair in lengths for length in pair]
    offsets = np.concatenate([[0], np.cumsum(flat)]).astype(np.int64)
    ids = np.arange(4, 4 + offsets[-1], dtype=np.uint16)
    return TokenizedSplit(ids, offsets, 10 * np.arange(1, len(lengths) + 1))


def padded_tokens(batch: Batch) -> int:
    """The longer side's tokens; the decoder's input is BOS and all but EOS."""
    return len(batch.lines) * max(batch.source.ids.shape[1], batch.decoder_input.shape[1])


def same(ours: Batch, theirs: Batch) -> bool:
    return (
        ours.lines == theirs.lines
        and ours.position == theirs.position
        and ours.source.ids.equal(theirs.source.ids)
        and ours.source.lengths.equal(theirs.source.lengths)
        and ours.target_ids.equal(theirs.target_ids)
    )


@some
@given(splits, plans, epochs)
def test_an_epoch_has_each_pair_exactly_once(split, plan, epoch):
    groups = pair_groups(split, plan, epoch=epoch)
    assert Counter(np.concatenate(groups).tolist()) == Counter(range(len(split)))


@some
@given(splits, plans, epochs)
def test_a_batch_stays_within_its_budget_or_has_one_pair(split, plan, epoch):
    groups = pair_groups(split, plan, epoch=epoch)
    for number, pairs in enumerate(groups):
        batch = collate(split, pairs, BatchPosition(epoch, number))
        assert padded_tokens(batch) <= plan.budget or len(batch.lines) == 1


@some
@given(splits, budgets)
def test_batches_are_as_full_as_they_can_be(split, budget):
    lengths = np.sort(padded_lengths(split))
    for (begin, end), (_, after) in itertools.pairwise(split_by_budget(lengths, budget=budget)):
        assert after > end > begin
        assert lengths[end] * (end + 1 - begin) > budget  # one more would not have fitted


@some
@given(splits, budgets, st.integers(2, 5))
def test_a_batch_larger_than_the_multiple_is_a_multiple_of_it(split, budget, multiple):
    lengths = np.sort(padded_lengths(split))
    runs = split_by_budget(lengths, budget=budget, multiple=multiple)
    assert [0, *(end for _, end in runs)] == [*(begin for begin, _ in runs), len(lengths)]
    for begin, end in runs[:-1]:
        count = end - begin
        assert count <= multiple or count % multiple == 0
        fitting = max(
            n
            for n in range(1, len(lengths) - begin + 1)
            if n == 1 or lengths[begin + n - 1] * n <= budget
        )
        assert fitting - count < multiple
    assert all(lengths[e - 1] * (e - b) <= budget or e - b == 1 for b, e in runs)


@examples(60)
@given(st.lists(st.integers(1, 30), max_size=60), st.integers(1, 90), st.integers(1, 9))
@example([1, 1, 1, 9], 9, 2)  # the 9 does not fit with the 1 that is left over
def test_runs_are_those_of_a_walk_pair_by_pair(lengths, budget, multiple):
    runs, begin = [], 0
    for index in range(len(lengths)):
        while index > begin and max(lengths[begin : index + 1]) * (index - begin + 1) > budget:
            count = index - begin
            end = index - count % multiple if count > multiple else index
            runs.append((begin, end))
            begin = end
    if lengths:
        runs.append((begin, len(lengths)))
    found = split_by_budget(np.array(lengths, np.int32), budget=budget, multiple=multiple)
    assert found == runs


@some
@given(splits, plans, epochs, st.integers(0, 2**32 - 1))
def test_order_is_a_function_of_seed_and_epoch_alone(split, plan, epoch, elsewhere):
    def order() -> list[list[int]]:
        return [pairs.tolist() for pairs in pair_groups(split, plan, epoch=epoch)]

    first = order()
    np.random.seed(elsewhere)
    pair_groups(split, plan, epoch=epoch + 1)
    assert order() == first


@some
@given(splits, plans, st.integers(0, 30), st.integers(1, 3))
def test_any_position_begins_the_rest_of_the_stream(split, plan, first, epoch):
    start = BatchPosition(epoch, first)
    whole = token_budget_batches(split, plan, start=FIRST_BATCH)
    rest = (b for b in whole if b.position.epoch > epoch or (b.position >= start))
    groups = pair_groups(split, plan, epoch=epoch)
    begun = token_budget_batches(split, plan, start=start, groups=groups)
    for ours, theirs in itertools.islice(zip(begun, rest, strict=False), 6):
        assert same(ours, theirs)


@some
@given(splits, plans)
def test_positions_count_batches_within_epochs(split, plan):
    stream = token_budget_batches(split, plan, start=FIRST_BATCH)
    counts = [len(pair_groups(split, plan, epoch=e)) for e in (1, 2)]
    expected = [(e, n) for e, count in zip((1, 2), counts, strict=True) for n in range(count)]
    assert [next(stream).position for _ in expected] == expected


@some
@given(splits, budgets)
def test_sorted_batches_have_every_pair_once_shortest_first(split, budget):
    batches = list(sorted_batches(split, budget=budget))
    lines = [line for batch in batches for line in batch.lines]
    assert sorted(lines) == split.lines.tolist()
    widths = [batch.target_ids.shape[1] for batch in batches]
    assert widths == sorted(widths)
    assert all(padded_tokens(b) <= budget or len(b.lines) == 1 for b in batches)


@some
@given(splits, plans)
def test_a_batch_has_its_ids_special_ids_and_padding(split, plan):
    stream = token_budget_batches(split, plan, start=FIRST_BATCH)
    batch = next(stream)
    for row, line in enumerate(batch.lines):
        pair = line // 10 - 1
        source, target = split.source(pair).tolist(), split.target(pair).tolist()
        length = int(batch.source.lengths[row])
        assert batch.source.ids[row, :length].tolist() == [*source, EOS]
        assert not (batch.source.ids[row, length:] != PAD).any()
        labels, inputs = batch.labels[row].tolist(), batch.decoder_input[row].tolist()
        assert labels[: len(target) + 1] == [*target, EOS]
        assert set(labels[len(target) + 1 :]) <= {PAD}
        assert inputs[: len(target) + 1] == [BOS, *target]
    assert int(batch.source.lengths.max()) == batch.source.ids.shape[1]  # nothing too wide
    assert (batch.labels != PAD).any(dim=0).all()
    assert batch.source.ids.dtype == batch.target_ids.dtype == batch.source.lengths.dtype
    assert str(batch.source.ids.dtype) == "torch.int64"


def test_epochs_and_seeds_have_orders_of_their_own():
    split = split_of([(n % 5 + 1, n % 7 + 1) for n in range(60)])

    def order(seed, epoch):
        groups = pair_groups(split, EpochPlan(budget=30, seed=seed), epoch=epoch)
        return tuple(np.concatenate(groups).tolist())

    orders = {order(seed, epoch) for seed in (1, 2, 11) for epoch in (1, 2, 12)}
    assert len(orders) == 9


def test_batches_have_other_pairs_in_another_epoch():
    """Ties of length are broken in each epoch, so that the same pairs do not always meet."""
    split = split_of([(4, 4)] * 40)
    plan = EpochPlan(budget=25, seed=1)
    first, second = (
        {frozenset(pairs.tolist()) for pairs in pair_groups(split, plan, epoch=e)} for e in (1, 2)
    )
    assert not first & second


@some
@given(splits, st.data())
def test_a_batch_equals_one_filled_row_by_row(split, data):
    numbers = st.integers(0, len(split) - 1)
    pairs = data.draw(st.lists(numbers, min_size=1, max_size=9))  # in any order, and again
    batch = collate(split, np.array(pairs), FIRST_BATCH)
    by_hand = padded([(split.source(i).tolist(), split.target(i).tolist()) for i in pairs])
    assert batch.source.ids.equal(by_hand.source.ids)
    assert batch.source.lengths.equal(by_hand.source.lengths)
    assert batch.target_ids.equal(by_hand.target_ids)
    assert batch.lines == tuple(split.lines[pairs].tolist())


@some
@given(splits)
def test_neighbours_of_equal_target_length_have_sources_in_order(split):
    order = length_order(split, np.arange(len(split)))
    for target, group in itertools.groupby(order, key=lambda pair: split.target_lengths[pair]):
        sources = [int(split.source_lengths[pair]) for pair in group]
        assert sources == sorted(sources, reverse=bool(target % 2))


def test_long_sentences_are_sorted_as_short_ones_are():
    """Their sort keys take more than 16 bits."""
    lengths = [(300, 2), (1, 300), (299, 2), (2, 300), (1, 3), (2, 3), (1, 220), (300, 301)]
    order = length_order(split_of(lengths), np.arange(len(lengths)))
    assert order.tolist() == [2, 0, 5, 4, 6, 1, 3, 7]


def test_a_batch_across_two_target_lengths_has_sources_of_similar_length():
    split = split_of([(source, target) for target in (4, 5) for source in (2, 3, 9, 10)])
    runs = split_by_budget(np.ones(8, dtype=np.int64), budget=4)  # batches of 4
    order = length_order(split, np.arange(8))
    assert [split.source_lengths[order[b:e]].tolist() for b, e in runs] == [
        [2, 3, 9, 10],
        [10, 9, 3, 2],
    ]
    assert split.source_lengths[order[2:6]].tolist() == [9, 10, 10, 9]


def longest_sides(split, groups):
    return [int(padded_lengths(split)[pairs].max()) for pairs in groups]


@some
@given(splits, plans)
def test_a_curriculum_by_length_sorts_the_batches_of_the_first_epoch(split, plan):
    def groups(epoch, curriculum):
        chosen = replace(plan, curriculum=curriculum)
        return [pairs.tolist() for pairs in pair_groups(split, chosen, epoch=epoch)]

    by_length = groups(1, "length")
    assert longest_sides(split, by_length) == sorted(longest_sides(split, by_length))
    assert sorted(by_length) == sorted(groups(1, "none"))  # the same batches
    assert groups(2, "length") == groups(2, "none")


def test_a_curriculum_shuffles_batches_of_one_length():
    split = split_of([(4, 4)] * 60)

    def firsts(seed):
        plan = EpochPlan(budget=10, seed=seed, curriculum="length")
        return [pairs[0] for pairs in pair_groups(split, plan, epoch=1)]

    assert firsts(1) != firsts(2)


@some
@given(splits, st.data())
def test_pairs_can_be_split_into_any_number_of_batches(split, data):
    lengths = padded_lengths(split)[length_order(split, np.arange(len(split)))]
    count = data.draw(st.integers(1, len(split)))
    runs = split_into(lengths, count=count)
    assert len(runs) == count
    assert [0, *(end for _, end in runs)] == [*(begin for begin, _ in runs), len(split)]
    fullest = max(int(lengths[b:e].max()) * (e - b) for b, e in runs)
    if fullest > lengths.max():  # any smaller budget makes more batches
        assert len(split_by_budget(lengths, budget=fullest - 1)) > count


weights = st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0])


@st.composite
def corpora(draw):
    """A split and its corpora, at least one of them of a weight above 0."""
    split = draw(splits)
    edge = draw(st.integers(0, len(split) - 1))
    parts = [range(edge), range(edge, len(split))]
    chosen = [draw(weights), draw(weights.filter(bool))]
    names = ("main", "back")
    return split, [
        StoredCorpus(name, pairs, weight, None)
        for name, pairs, weight in zip(names, parts, chosen, strict=True)
        if pairs
    ]


@some
@given(corpora(), plans, epochs)
def test_an_epoch_has_each_pair_as_often_as_its_weight_says(case, plan, epoch):
    split, parts = case
    groups = pair_groups(split, replace(plan, corpora=parts), epoch=epoch)
    times = Counter(np.concatenate(groups).tolist())
    for part in parts:
        whole = int(part.weight)
        counts = [times[pair] for pair in part.pairs]
        assert set(counts) <= {whole, whole + 1}
        once_more = (part.weight - whole) * len(part.pairs)
        more = counts.count(whole + 1)
        assert abs(more - once_more) <= 0.5 or (more == 1 and once_more > 0)


@some
@given(splits, plans, epochs)
def test_one_corpus_of_weight_one_is_the_whole_split(split, plan, epoch):
    alone = [StoredCorpus("main", range(len(split)), 1.0, None)]
    ours = pair_groups(split, replace(plan, corpora=alone), epoch=epoch)
    theirs = pair_groups(split, plan, epoch=epoch)
    assert [pairs.tolist() for pairs in ours] == [pairs.tolist() for pairs in theirs]


def test_half_of_a_corpus_is_drawn_anew_each_epoch():
    split = split_of([(4, 4)] * 60)
    parts = [
        StoredCorpus("main", range(20), 1.0, None),
        StoredCorpus("back", range(20, 60), 0.5, None),
    ]

    def drawn(seed, epoch):
        plan = EpochPlan(budget=30, seed=seed, corpora=parts)
        groups = pair_groups(split, plan, epoch=epoch)
        return frozenset(pair for pairs in groups for pair in pairs.tolist())

    assert drawn(1, 1) == drawn(1, 1)
    assert len({drawn(seed, epoch) for seed in (1, 2) for epoch in (1, 2)}) == 4
    assert all(set(range(20)) <= drawn(1, epoch) and len(drawn(1, epoch)) == 40 for epoch in (1, 9))
