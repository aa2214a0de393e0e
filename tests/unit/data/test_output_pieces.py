"""Output pieces: which they are, and that text in them stays the text it was."""

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from tiny import corpus_lines

from data.config import DataConfig
from data.output_pieces import OutputTokenizer, output_ids, read_output_ids, write_output_ids
from data.tokenization import Tokenizer, train_tokenizer
from seq2seq.batch import EOS
from seq2seq.system.files import sha256_of

SENTENCES = [
    *(side for pair in corpus_lines(150, seed=3) for side in pair),
    "Ωμέγα ba Ωμέγα",
    "日本 日本語 ce",
]
PIECE_MODELS = ("bpe", "unigram")
TOKENIZERS = {
    (kind, rule): train_tokenizer(
        SENTENCES,
        DataConfig(vocabulary_size=360, piece_model=kind, normalization=rule),
    )
    for kind in PIECE_MODELS
    for rule in ("nfkc", "identity")
}
tokenizers = st.sampled_from([*TOKENIZERS.values()])
words = st.one_of(
    st.sampled_from(" ".join(SENTENCES).split()),
    st.text("bacedifoguμ日▁<0x41> ", max_size=9),
    st.text(max_size=6),
)


def outputs(tokenizer: Tokenizer, occurring: set[int]) -> OutputTokenizer:
    found = np.isin(np.arange(len(tokenizer)), [*occurring])
    return OutputTokenizer(tokenizer.model, output_ids(tokenizer, found))


@examples(300)
@given(tokenizers, st.lists(words, max_size=5).map(" ".join), st.data())
def test_any_text_stays_what_it_is_in_output_pieces_alone(tokenizer, text, data):
    ids = st.integers(EOS, len(tokenizer) - 1)
    occurring = data.draw(st.sets(ids, max_size=60))
    few, plain = outputs(tokenizer, occurring), tokenizer.encode(text)
    found = few.encode(text)
    assert few.decode(found) == tokenizer.decode(plain)
    assert [ids.tolist() for ids in few.encode_all([text, "", text])] == [found, [], found]
    assert {*found} <= {*occurring, *tokenizer.byte_ids, tokenizer.vocabulary().ids["▁"]}
    if {*plain} <= occurring:
        assert found == plain


def test_output_ids_are_those_that_occur_and_what_spells_the_rest():
    tokenizer = TOKENIZERS["bpe", "nfkc"]
    found = output_ids(tokenizer, np.isin(np.arange(len(tokenizer)), [300, 310]))
    space = tokenizer.vocabulary().ids["▁"]
    assert found.tolist() == sorted({300, 310, EOS, *tokenizer.byte_ids, space})
    assert tokenizer.pieces(tokenizer.byte_ids)[::255] == ["<0x00>", "<0xFF>"]
    assert len({*tokenizer.byte_ids}) == 256


@pytest.mark.parametrize("kind", PIECE_MODELS)
def test_a_piece_is_respelled_in_the_fewest(kind):
    tokenizer = TOKENIZERS[kind, "nfkc"]
    ids = tokenizer.vocabulary().ids
    assert tokenizer.pieces(tokenizer.encode("ba")) == ["▁ba"]
    few = outputs(tokenizer, {ids["b"], ids["a"]})
    assert few.pieces(few.encode("ba")) == ["▁", "b", "a"]
    assert few.pieces(few.encode("bi")) == ["▁", "b", "<0x69>"]
    fewer = outputs(tokenizer, {ids["b"], ids["a"], ids["ba"]}) if "ba" in ids else few
    assert fewer.pieces(fewer.encode("ba"))[0] == "▁"
    assert len(fewer.encode("ba")) == (2 if "ba" in ids else 3)


def test_bytes_stand_for_a_character_that_no_output_piece_has():
    few = outputs(TOKENIZERS["bpe", "nfkc"], set())
    assert few.pieces(few.encode("日")) == ["▁", "<0xE6>", "<0x97>", "<0xA5>"]


def test_output_ids_come_back_as_they_were_written(tmp_path):
    ids = np.array([3, 4, 70_000], np.int32)
    pieces = write_output_ids(tmp_path, ids)
    assert pieces == {"count": 3, "sha256": sha256_of(tmp_path / "output.ids")}
    assert (tmp_path / "output.ids").stat().st_size == 12
    assert read_output_ids(tmp_path).tolist() == [3, 4, 70_000]


def test_pieces_that_are_respelled_belong_to_the_word_that_they_belonged_to():
    tokenizer = TOKENIZERS["bpe", "identity"]
    kept = outputs(tokenizer, {*tokenizer.encode("ba")})
    ((ids, words),) = kept.encode_with_words(["ba 日本 ba"])
    assert ids.tolist() == kept.encode("ba 日本 ba")
    assert len(ids) > len(tokenizer.encode("ba 日本 ba"))  # in bytes
    assert kept.decode(ids[words == 1].tolist()).strip() == "日本"
    assert ids[words == 0].tolist() == ids[words == 2].tolist() == kept.encode("ba")
