"""Links of words in a token store, and the attention over pieces that they ask for."""

import json
import random
from dataclasses import dataclass

import numpy as np
import pytest
from tiny import corpus_lines, prepare, write_corpus

from data.batching import EpochPlan, collate, token_budget_batches
from data.config import DataConfig
from data.corpora import Corpus, CorpusFiles, Manifest
from data.links import NO_WORD, LinkGuide, StoredLinks, WordLinks
from data.preparation.links import LinkFile
from data.token_store import TokenizedSplit, TokenStore
from seq2seq.batch import FIRST_BATCH, BatchPosition
from seq2seq.errors import ConfigError, CorpusError

CONFIG = DataConfig(vocabulary_size=310, max_words=20)
ODD = [
    ("", "empty source"),
    (" ".join(["long"] * 30), " ".join(["lang"] * 30)),
    ("emoji 🙂  ba ½", "日本 ce ba ba"),
    ("a \u200b b\u3000c", "\u200bba ce di\u00a0fo "),
]


@dataclass(frozen=True)
class LinkedCorpus:
    """The lines of a corpus, the links of each, and its files."""

    pairs: list[tuple[str, str]]
    links: list[set[tuple[int, int]]]
    files: CorpusFiles
    valid: CorpusFiles
    link_file: LinkFile

    def prepare(self, store, **options) -> TokenStore:
        made = {"links": self.link_file, "processes": 1} | options
        return prepare(self.files, self.valid, store, CONFIG, **made).store


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> LinkedCorpus:
    folder, rng = tmp_path_factory.mktemp("linked"), random.Random(4)
    pairs = [*corpus_lines(60, seed=1), *ODD]
    rng.shuffle(pairs)
    sizes = [(len(left.split()), len(right.split())) for left, right in pairs]
    links = [
        {(rng.randrange(n), rng.randrange(m)) for _ in range(rng.randrange(m + 2))} if n else set()
        for n, m in sizes
    ]
    path = folder / "links"
    path.write_text(
        "".join(" ".join(f"{i}{rng.choice('-?p')}{j}" for i, j in each) + "\n" for each in links)
    )
    return LinkedCorpus(
        pairs,
        links,
        CorpusFiles(*write_corpus(folder, "train", pairs)),
        CorpusFiles(*write_corpus(folder, "valid", [*corpus_lines(5, seed=2)])),
        LinkFile(path),
    )


@pytest.fixture(scope="module")
def store(corpus, tmp_path_factory) -> TokenStore:
    return corpus.prepare(tmp_path_factory.mktemp("stores") / "store")


def test_the_links_of_a_pair_are_those_of_its_line(corpus, store):
    stored, train = StoredLinks.open(store), store.split("train")
    assert len(train) == 62  # an empty side and 30 words were dropped
    for pair, line in enumerate(train.lines.tolist()):
        assert {(i, j) for i, j in stored.of(pair).tolist()} == corpus.links[line - 1]
    assert store.links["pairs"] == sum(bool(len(stored.of(pair))) for pair in range(62))
    assert store.links["links"] == len(stored.links)


def test_the_pieces_of_a_word_spell_it(corpus, store):
    stored, train = StoredLinks.open(store), store.split("train")
    for side, tokenizer in enumerate((store.tokenizer("source"), store.tokenizer("target"))):
        for pair, line in enumerate(train.lines.tolist()):
            begin, end = train.offsets[2 * pair + side : 2 * pair + side + 2]
            numbers, ids = stored.words[begin:end], train.ids[begin:end]
            for number, word in enumerate(corpus.pairs[line - 1][side].split()):
                spelt = tokenizer.decode(ids[numbers == number].tolist()).strip()
                normal = tokenizer.decode(tokenizer.encode(word)).strip()
                assert spelt == normal, (word, spelt)


def test_a_store_is_made_once_and_its_links_are_part_of_what_it_is(corpus, store, tmp_path):
    assert corpus.prepare(store.path).path == store.path  # nothing is done
    with pytest.raises(ConfigError, match="prepared from other files"):
        corpus.prepare(store.path, links=None)
    plain = corpus.prepare(tmp_path / "plain", links=None)
    assert plain.links is None and "links" not in plain.meta
    with pytest.raises(ConfigError, match="needs links of words"):
        StoredLinks.open(plain)
    assert (plain.path / "train.ids").read_bytes() == (store.path / "train.ids").read_bytes()


def test_damaged_links_are_found(corpus, tmp_path):
    made = corpus.prepare(tmp_path / "store")
    path = made.path / "train.links"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1, *path.read_bytes()[1:]]))
    with pytest.raises(CorpusError, match=r"train\.links is missing or damaged"):
        made.verify()
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CorpusError, match="its size is wrong"):
        StoredLinks.open(made)
    meta = json.loads((made.path / "meta.json").read_text())
    meta["links"]["sha256"].pop("train.words")
    (made.path / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(CorpusError, match="is damaged"):
        TokenStore.open(made.path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:-1], "has links of 63 pairs, but"),
        (lambda lines: [*lines, ""], "has links of 65 pairs, but"),
        (lambda lines: ["0-0 0:1", *lines[1:]], "links:1: '0:1' is not an alignment link"),
        (lambda lines: [*lines[:-1], "0-0 90-0"], "links:64: 90-0 is a link beyond the"),
    ],
)
def test_links_that_do_not_fit_the_text_are_refused(corpus, tmp_path, change, said):
    path = tmp_path / "links"
    lines = corpus.link_file.path.read_text().split("\n")[:-1]
    path.write_text("".join(f"{line}\n" for line in change(lines)))
    with pytest.raises(CorpusError) as caught:
        corpus.prepare(tmp_path / "store", links=LinkFile(path))
    assert said in caught.value.message and caught.value.hint
    assert not (tmp_path / "store").exists()


def test_tags_are_no_words_and_further_corpora_have_no_links(corpus, tmp_path):
    further = CorpusFiles(*write_corpus(tmp_path, "more", [*corpus_lines(20, seed=9)]))
    manifest = Manifest(tag="main", further=(Corpus("more", further, tag="more"),))
    made = corpus.prepare(tmp_path / "store", manifest=manifest)
    stored, train = StoredLinks.open(made), made.split("train")
    guide = LinkGuide(links=WordLinks(split=train, links=stored, unlinked="eos"))
    for pair, line in enumerate(train.lines.tolist()):
        begin, middle, end = train.offsets[2 * pair : 2 * pair + 3]
        if line > len(corpus.pairs):
            assert not len(stored.of(pair))
            assert (stored.words[begin:end] == NO_WORD).all()
            continue
        assert (stored.words[begin:middle] == NO_WORD).tolist() == [True] + [False] * (
            middle - begin - 1
        )
        shape = int(end - middle) + 1, int(middle - begin) + 1
        targets = guide.targets(np.array([pair]), FIRST_BATCH, shape)
        assert not targets.weights[0, :, 0].any()


BY_HAND = TokenizedSplit(
    ids=np.arange(9), offsets=np.array([0, 4, 7, 8, 9]), lines=np.array([1, 2])
)
# Source words of 2, 1 and 1 pieces, target words of 1 and 2; then a pair without a link.
BY_HAND_LINKS = StoredLinks(
    words=np.array([0, 0, 1, 2, 0, 1, 1, 0, 0], np.int32),
    links=np.array([[0, 1], [2, 1]], np.int32),
    offsets=np.array([0, 2, 2]),
)


@pytest.mark.parametrize(
    ("unlinked", "first", "end"),
    [("ignore", [0] * 5, [0] * 5), ("eos", [0, 0, 0, 0, 1], [0, 0, 0, 0, 1])],
)
def test_linked_words_share_a_row_equally_and_so_do_their_pieces(unlinked, first, end):
    guide = LinkGuide(
        links=WordLinks(split=BY_HAND, links=BY_HAND_LINKS, unlinked=unlinked), decay=0.5
    )
    targets = guide.targets(np.array([1, 0]), BatchPosition(3, 7), (4, 5))
    # half of the weight for word 0, a quarter for each of its pieces, and half for word 2
    linked = [0.25, 0.25, 0, 0.5, 0]
    assert targets.weights.tolist() == [[[0] * 5] * 4, [first, linked, linked, end]]
    guided = [float(any(row)) / 4 for row in targets.weights[1].tolist()]  # 0.5 in the third epoch
    assert targets.importance.tolist() == [[0] * 4, guided]


def test_shifted_links_are_asked_of_the_step_after():
    guide = LinkGuide(links=WordLinks(split=BY_HAND, links=BY_HAND_LINKS, unlinked="eos"), shift=1)
    targets = guide.targets(np.array([1, 0]), FIRST_BATCH, (4, 5))
    linked = [0.25, 0.25, 0, 0.5, 0]
    assert targets.weights[1].tolist() == [[0] * 5, [0, 0, 0, 0, 1], linked, linked]
    assert targets.importance.tolist() == [[0] * 4, [0, 1, 1, 1]]


def test_the_targets_of_a_batch_are_those_of_each_of_its_pairs(store):
    train = store.split("train")
    guide = LinkGuide(links=WordLinks(split=train, links=StoredLinks.open(store), unlinked="eos"))
    batches = token_budget_batches(
        train, EpochPlan(budget=120, seed=3, guide=guide), start=FIRST_BATCH
    )
    seen = set[int]()
    while len(seen) < len(train):
        batch = next(batches)
        targets = batch.attention_targets
        pairs = [train.lines.tolist().index(line) for line in batch.lines]
        for row, pair in enumerate(pairs):
            seen.add(pair)
            alone = collate(train, np.array([pair]), batch.position, guide).attention_targets
            _, length, width = alone.weights.shape
            assert (targets.weights[row, :length, :width] == alone.weights[0]).all()
            assert targets.weights[row].count_nonzero() == alone.weights.count_nonzero()
            sums = targets.weights[row].sum(-1)
            np.testing.assert_allclose(sums, (sums > 0).float(), atol=1e-6)
            assert (targets.importance[row] == (sums > 0)).all()
            assert (sums > 0).sum() in (0, length)
        padding = batch.source.ids == 0
        assert not targets.weights[padding[:, None].expand_as(targets.weights)].any()
