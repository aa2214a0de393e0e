"""Subword pieces: text survives encoding and decoding, and only our own models are accepted."""

import io
import unicodedata

import pytest
import sentencepiece
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from tiny import corpus_lines

from data.config import DataConfig
from data.tokenization import Tokenizer, train_tokenizer
from seq2seq.batch import BOS, EOS, PAD, UNK
from seq2seq.errors import CheckpointError, CorpusError

SENTENCES = [side for pair in corpus_lines(150, seed=3) for side in pair]
CONFIG = DataConfig(vocabulary_size=300)
NFKC = DataConfig(vocabulary_size=300, normalization="nfkc")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(SENTENCES, CONFIG)


@pytest.fixture(scope="module")
def nfkc() -> Tokenizer:
    return train_tokenizer(SENTENCES, NFKC)


def test_special_ids_are_those_of_every_vocabulary(tokenizer):
    assert tokenizer.pieces([PAD, UNK, BOS, EOS]) == ["<pad>", "<unk>", "<s>", "</s>"]
    assert len(tokenizer) == 300


def test_text_of_the_corpus_comes_back(tokenizer):
    for sentence in SENTENCES:
        ids = tokenizer.encode(sentence)
        assert tokenizer.decode(ids) == sentence
        assert not {PAD, UNK, BOS, EOS} & set(ids)


@pytest.mark.parametrize(
    "text", ["日本", "🙂", "👩‍👩‍👧", "Ωμέγα", "नमस्ते", "\U0001f9ff ba", "\U000e0041"]
)
def test_characters_never_seen_are_written_as_bytes(nfkc, text):
    ids = nfkc.encode(text)
    assert UNK not in ids
    assert nfkc.decode(ids) == unicodedata.normalize("NFKC", text)


letters = st.characters(exclude_categories=["Cs", "Cc", "Cn", "Zs", "Zl", "Zp", "Cf"])
words = st.text(letters, min_size=1, max_size=8).map(lambda w: unicodedata.normalize("NFKC", w))


@examples(200)
@given(st.lists(words, min_size=1, max_size=6))
def test_normalised_text_survives(words):
    # "identity" leaves text as it is, so that our NFKC alone is what is measured.
    tokenizer = identity_tokenizer()
    text = " ".join(" ".join(words).replace("\u2581", "_").split())
    ids = tokenizer.encode(text)
    assert UNK not in ids
    assert tokenizer.decode(ids) == text


_identity: list[Tokenizer] = []


def identity_tokenizer() -> Tokenizer:
    if not _identity:
        config = DataConfig(vocabulary_size=300, normalization="identity")
        _identity.append(train_tokenizer(SENTENCES, config))
    return _identity[0]


@examples(200)
@given(st.lists(st.integers(0, 299), max_size=20))
def test_any_ids_make_one_line(ids):
    text = identity_tokenizer().decode(ids)
    assert "\n" not in text and "\r" not in text
    text.encode("utf-8")


def test_the_byte_of_a_line_end_is_a_space(tokenizer):
    pieces = tokenizer.pieces(range(300))
    ids = [pieces.index("<0x0A>"), pieces.index("<0x0D>")]
    assert tokenizer.decode([*tokenizer.encode("ba"), *ids, *tokenizer.encode("ce")]).split() == [
        "ba",
        "ce",
    ]


def test_special_ids_are_not_shown(tokenizer):
    ids = tokenizer.encode("ba ce")
    assert tokenizer.decode([BOS, *ids, EOS, PAD, PAD]) == "ba ce"


def test_encoding_many_texts_is_encoding_each(tokenizer):
    texts = [*SENTENCES[:30], "", " ", "🙂", "a\u2028b"]
    many = tokenizer.encode_all(texts)
    assert [ids.tolist() for ids in many] == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_all([]) == []


@pytest.mark.parametrize("piece_model", ["bpe", "unigram"])
def test_the_same_text_gives_the_same_bytes(piece_model):
    config = DataConfig(vocabulary_size=300, piece_model=piece_model)
    assert train_tokenizer(SENTENCES, config).model == train_tokenizer(SENTENCES, config).model


def test_a_small_corpus_gets_fewer_pieces():
    tokenizer = train_tokenizer(SENTENCES, DataConfig(vocabulary_size=8000))
    assert 260 < len(tokenizer) < 8000
    assert tokenizer.decode(tokenizer.encode(SENTENCES[0])) == SENTENCES[0]


def test_a_vocabulary_too_small_for_the_characters_is_refused():
    many = [chr(code) for code in range(0x4E00, 0x4E00 + 500)]
    with pytest.raises(CorpusError, match="cannot hold the corpus' characters") as caught:
        train_tokenizer(["".join(many[i : i + 20]) for i in range(0, 500, 5)], CONFIG)
    assert "--vocabulary-size" in caught.value.hint


def test_no_text_at_all_is_refused():
    with pytest.raises(CorpusError) as caught:
        train_tokenizer([], CONFIG)
    assert caught.value.hint


def foreign(**options: object) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(SENTENCES),
        model_writer=model,
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    return model.getvalue()


def test_a_model_with_other_special_ids_is_refused():
    with pytest.raises(CheckpointError, match="not trained by seq2seq"):
        Tokenizer(foreign())


@pytest.mark.parametrize("damage", [b"", b"\x00" * 50, b"cos\nsystem\n.", b"\xff" * 300])
def test_a_file_that_is_not_a_model_is_refused(damage, tmp_path):
    with pytest.raises(CheckpointError):
        Tokenizer(damage)
    (tmp_path / "pieces.model").write_bytes(damage)
    with pytest.raises(CheckpointError, match=r"pieces\.model"):
        Tokenizer.load(tmp_path / "pieces.model")


def test_a_model_cut_short_is_refused(tokenizer):
    for keep in (1, 100, len(tokenizer.model) // 2):
        with pytest.raises(CheckpointError):
            Tokenizer(tokenizer.model[:keep])


def test_a_missing_model_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        Tokenizer.load(tmp_path / "pieces.model")
