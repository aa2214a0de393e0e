"""Subword pieces: the only module that knows SentencePiece."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sentencepiece

from data.config import DataConfig
from data.words import word_numbers
from seq2seq.batch import BOS, EOS, PAD, UNK
from seq2seq.errors import CheckpointError, CorpusError

PieceIds = npt.NDArray[np.int32]
WordNumbers = npt.NDArray[np.int32]
WORD_START = "\u2581"
"""SentencePiece's symbol for a space: the first character of a piece, or not in it."""
_LONGEST_LINE = 4192  # bytes; SentencePiece's trainer ignores longer lines


class Vocabulary:
    """The pieces of a model, without special ids, tags and bytes."""

    def __init__(self, ids: Mapping[str, int], scores: Mapping[str, float]) -> None:
        self.ids = ids
        self.scores = scores  # log-probabilities of a unigram model, minus the rank of a BPE merge
        self.longest = max(map(len, ids), default=0)  # characters
        self._pieces = {number: piece for piece, number in ids.items()}
        self._begin = frozenset(i for piece, i in ids.items() if piece.startswith(WORD_START))

    def words(self, ids: Iterable[int]) -> list[tuple[int, ...]]:
        """Ids grouped into words: a piece that begins with a space begins a word, as does a tag."""
        words: list[list[int]] = []
        for number in ids:
            if number in self._begin or not words:
                words.append([])
            words[-1].append(number)
        return [tuple(word) for word in words]

    def spelling(self, number: int) -> str:
        """The characters of a piece; of any other id a character that no piece has."""
        return self._pieces.get(number, "\0")

    def characters(self, word: Iterable[int]) -> list[str] | None:
        """The characters of a word; None if one of them, or one of the ids, is not a piece."""
        characters = [character for number in word for character in self.spelling(number)]
        return characters if all(character in self.ids for character in characters) else None


class Tokenizer:
    """Text to piece ids and back, by one SentencePiece model."""

    def __init__(self, model: bytes, *, name: str = "the SentencePiece model") -> None:
        """Raises CheckpointError when the bytes are not a SentencePiece model with our ids."""
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise CheckpointError(
                f"{name} cannot be read", hint="the file is damaged; preprocess again"
            ) from error
        p = self._processor
        if (p.pad_id(), p.unk_id(), p.bos_id(), p.eos_id()) != (PAD, UNK, BOS, EOS):
            raise CheckpointError(
                f"{name} was not trained by seq2seq: its special ids differ",
                hint="preprocess the corpus with this program",
            )

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Raises CheckpointError for a file that is not a SentencePiece model of ours."""
        try:
            return cls(path.read_bytes(), name=str(path))
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error

    def __len__(self) -> int:
        return int(self._processor.GetPieceSize())

    @cached_property
    def tags(self) -> dict[str, int]:
        """Tag -> id, of the symbols that may stand before a source; no text is encoded as one."""
        found = {}
        for number in range(EOS + 1, len(self)):
            if not self._processor.IsControl(number):
                break
            found[self._processor.IdToPiece(number)[1:-1]] = number
        return found

    @cached_property
    def byte_ids(self) -> list[int]:
        """The ids of the bytes 0 to 255, which spell characters that have no piece."""
        return [self._processor.PieceToId(f"<0x{byte:02X}>") for byte in range(256)]

    @cached_property
    def spellings(self) -> list[bytes]:
        """The spelling of each id in UTF-8; those of a line, less a first space, are its text. [V]

        b"" for an id that is no text, and for the byte of a space, which a piece spells too.
        """
        p, bytes_ = self._processor, {number: byte for byte, number in enumerate(self.byte_ids)}
        found = []
        for number in range(len(self)):
            if number in bytes_:
                found.append(bytes([bytes_[number]]).strip(b" "))
            elif p.IsControl(number) or p.IsUnknown(number):
                found.append(b"")
            else:
                found.append(p.IdToPiece(number).replace(WORD_START, " ").encode())
        return found

    def encode(self, text: str) -> list[int]:
        """Ids without BOS and EOS."""
        return list(self._processor.EncodeAsIds(text))

    def encode_all(self, texts: Sequence[str]) -> list[PieceIds]:
        """The ids of many texts, faster than one by one."""
        return list(self._processor.EncodeAsNumpy(list(texts)))

    def encode_with_words(self, texts: Sequence[str]) -> list[tuple[PieceIds, WordNumbers]]:
        """The ids of texts, and the number of the word between spaces that each of them spells."""
        found = self._processor.EncodeAsOffsetMapping(list(texts))
        return [
            (
                np.array(each["ids"], np.int32),
                np.array(word_numbers(text, each["offsets"]), np.int32),
            )
            for text, each in zip(texts, found, strict=True)
        ]

    def vocabulary(self) -> Vocabulary:
        """The pieces with their ids and scores."""
        p = self._processor
        special = [i for i in range(len(self)) if p.IsControl(i) or p.IsByte(i) or p.IsUnknown(i)]
        plain = sorted({*range(len(self))} - {*special})
        ids = {p.IdToPiece(number): number for number in plain}
        return Vocabulary(ids, {piece: p.GetScore(number) for piece, number in ids.items()})

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The strings of piece ids."""
        return [self._processor.IdToPiece(int(i)) for i in ids]

    def decode(self, ids: Sequence[int]) -> str:
        """One line of text, without special ids; the byte of a line end becomes a space."""
        text = self._processor.DecodeIds([int(i) for i in ids if i not in (PAD, BOS, EOS)])
        return str(text).replace("\n", " ").replace("\r", " ")


_CHECK_MODEL = """
import sys
from pathlib import Path
from data.tokenization import Tokenizer
from seq2seq.errors import CheckpointError
try:
    tokenizer = Tokenizer.load(Path(sys.argv[1]))
    tokenizer.decode(tokenizer.encode("text"))
except CheckpointError as error:
    print(error.message)
    sys.exit(3)
"""


def check_model_file(path: Path, *, seconds: float = 60.0) -> str | None:
    """The reason why a SentencePiece model cannot be used; None where it can.

    It is parsed in another process, because a damaged model may crash SentencePiece's parser.
    """
    command = [sys.executable, "-P", "-c", _CHECK_MODEL, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return f"{path} is damaged: parsing it takes over {seconds:.0f} s"
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"{path} is damaged: parsing it ends in {signal.Signals(-done.returncode).name}"
    return done.stdout.decode(errors="replace").strip() or f"{path} is damaged: it cannot be parsed"


def train_tokenizer(
    sentences: Iterable[str],
    config: DataConfig,
    *,
    tags: Sequence[str] = (),
) -> Tokenizer:
    """Learn pieces from text; equal sentences and settings give equal bytes.

    Each tag gets a control symbol, which unlike a user-defined symbol is never found in text: a
    sentence with the string <2de> is encoded like any other.

    One training thread: with two, SentencePiece learns another model. A small corpus may give fewer
    pieces. Raises CorpusError when the vocabulary is too small for the corpus' characters.
    """
    model = BytesIO()
    usable = (s for s in sentences if 0 < len(s.encode("utf-8")) <= _LONGEST_LINE)
    try:
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=usable,
            model_writer=model,
            vocab_size=config.vocabulary_size,
            hard_vocab_limit=False,
            control_symbols=[f"<{tag}>" for tag in tags],
            **_trainer_options(config),
        )
    except RuntimeError as error:
        raise _training_error(error, config) from error
    return Tokenizer(model.getvalue())


def _trainer_options(config: DataConfig) -> dict[str, Any]:
    return {
        "model_type": config.piece_model,
        "character_coverage": config.character_coverage,
        "normalization_rule_name": config.normalization,
        "byte_fallback": True,
        "num_threads": 1,
        "pad_id": PAD,
        "unk_id": UNK,
        "bos_id": BOS,
        "eos_id": EOS,
        "max_sentence_length": _LONGEST_LINE,
        "minloglevel": 2,
    }


def _training_error(error: RuntimeError, config: DataConfig) -> CorpusError:
    message = str(error)
    if needed := re.search(r"required_chars\D+\d+ vs (\d+)", message):
        return CorpusError(
            f"a vocabulary of {config.vocabulary_size} cannot hold the corpus' characters",
            hint=f"use --vocabulary-size {needed.group(1)} or more, or a lower "
            "data.character_coverage",
        )
    return CorpusError(
        f"SentencePiece could not learn pieces: {message.split(']')[-1].strip() or message}",
        hint="run `seq2seq check` on the corpus",
    )
