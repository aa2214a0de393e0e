"""What users do out of habit, learnt from other tools and from the shell, and what should happen.

Each habit is a line of bash in a folder with a corpus, its store and a run, so that the same line
can be typed at this program and at an earlier one (`scripts/try_habits.py`).
"""

import bz2
import gzip
import html
import io
import json
import lzma
import os
import re
import signal
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from journey import Corpus, train

TINY = (
    "--recipe tiny --threads 1 --set training.updates=20 --set training.validate_every=10"
    " --set training.batch_tokens=300 --set model.embedding_size=16 --set model.encoder_size=8"
    " --set model.decoder_size=16"
)
PREPARE = "--vocabulary-size 350 --threads 1"
VALID = "--valid-source valid.en --valid-target valid.xx"
LANGUAGES = "--source-language en --target-language xx"


@dataclass(frozen=True)
class Habit:
    """A command line with the exit code and the text that are right."""

    line: str
    code: int
    shows: str  # a pattern of the output, both streams; ^ and $ are ends of lines
    not_shows: str = "Traceback"
    setup: str = ""  # run before, with its output thrown away
    keeps: str = ""  # a file that must be unchanged after it

    def fault(self, result: "Outcome") -> str | None:
        """How the outcome of the command differs from the expected one; None: not at all."""
        if result.code != self.code:
            return f"exit code {result.code}, not {self.code}"
        if not re.search(self.shows, result.text, re.M | re.S):
            return f"does not say {self.shows!r}"
        if re.search(self.not_shows, result.text):
            return f"says {self.not_shows!r}"
        return f"{self.keeps} was changed" if result.changed else None


@dataclass(frozen=True)
class Outcome:
    code: int | None  # None: it did not end
    text: str  # of both streams, stdout first
    changed: bool  # the file that must be kept


ONCE = {
    "two pipes of zcat": Habit(
        f"seq2seq preprocess <(zcat train.en.gz) <(zcat train.xx.gz) new {VALID} {LANGUAGES}"
        f" {PREPARE}",
        0, "1,000 .*next: seq2seq train new RUN",
    ),
    "one pipe": Habit(
        f"seq2seq preprocess train.en <(cat train.xx) new {VALID} {LANGUAGES} {PREPARE}",
        0, "next: seq2seq train new RUN",
    ),
    "/dev/stdin": Habit(
        f"seq2seq preprocess /dev/stdin train.xx new {VALID} {LANGUAGES} {PREPARE} < train.en",
        0, "next: seq2seq train new RUN",
    ),
    "a validation target on a pipe": Habit(
        "seq2seq preprocess train.en train.xx new --valid-source valid.en --valid-target"
        f" <(cat valid.xx) {PREPARE}",
        0, "next: seq2seq train new RUN",
    ),
    "align with a target on a pipe": Habit(
        "seq2seq align run valid.en <(cat valid.xx) --format pharaoh --threads 1",
        0, r"^\d+-\d+( \d+-\d+)*$",
    ),
    "align with two pipes": Habit(
        "seq2seq align run <(cat valid.en) <(cat valid.xx) --format pharaoh --threads 1",
        0, r"^\d+-\d+( \d+-\d+)*$",
    ),
    "check with two pipes": Habit(
        "seq2seq check <(cat cut.en) <(cat cut.xx)",
        0, r"line 1,000\n +source ",
    ),
    "a bad byte on standard input": Habit(
        "seq2seq align run - valid.xx --threads 1 < latin1.en",
        3, "standard input:1: byte 4", not_shows="/tmp/|seq2seq-",
    ),
    "- twice": Habit("seq2seq check - - < valid.en", 2, "more than once|one pipe"),
}  # fmt: skip

WRITTEN = {
    "--output is the reference": Habit(
        "seq2seq evaluate run valid.en valid.xx --threads 1 --output valid.xx",
        2, "valid.xx", keeps="valid.xx",
    ),
    "--output is the source": Habit(
        "seq2seq evaluate run valid.en valid.xx --threads 1 --output valid.en",
        2, "valid.en", keeps="valid.en",
    ),
    "--output is a link to the reference": Habit(
        "seq2seq evaluate run valid.en valid.xx --threads 1 --output link",
        2, "link", setup="ln -s valid.xx link", keeps="valid.xx",
    ),
    "--output is another file of the user": Habit(
        "seq2seq evaluate run valid.en valid.xx --threads 1 --output thesis.txt",
        2, "thesis.txt.*--overwrite", setup="echo precious > thesis.txt", keeps="thesis.txt",
    ),
    "--output -": Habit(
        "seq2seq evaluate run valid.en valid.xx --threads 1 --output -; test ! -e ./-",
        0, r"^[a-z ]+$.*BLEU",
    ),
}  # fmt: skip

PROMPT = {
    "/beam 99999": Habit(
        "seq2seq translate run -i --threads 1 <<< $'/beam 99999\\nred dog'",
        0, "search.beam is 99999: input should be less than or equal to 1000",
    ),
    "/n-best 0": Habit(
        "seq2seq translate run -i --threads 1 <<< '/n-best 0'",
        0, "n-best is 0: input should be greater than or equal to 1",
    ),
    "/force without a text": Habit(
        "seq2seq translate run -i --threads 1 <<< $'red dog\\n/force'",
        0, "/force needs a translation", not_shows="sentence first",
    ),
}  # fmt: skip

MESSAGES = {
    "--resume after the store was made anew": Habit(
        "seq2seq train anew trained --resume",
        2, r"anew was made anew after trained was trained on it.*other text \(train source, train",
        setup=f"seq2seq preprocess train.en train.xx anew {VALID} {PREPARE};"
        f" seq2seq train anew trained {TINY};"
        f" seq2seq preprocess train.xx train.en anew {VALID} {PREPARE} {LANGUAGES} --overwrite",
    ),
    "--resume with fewer updates than are done": Habit(
        "seq2seq train store trained --resume --set training.updates=10",
        0, "20 updates are done, and training.updates is 10", "all 10 updates",
        setup=f"seq2seq train store trained {TINY}",
    ),
    "in a folder that was deleted": Habit(
        'mkdir gone; cd gone; rmdir "$PWD"; seq2seq translate ../run </dev/null',
        6, "^error: the current directory was deleted\nhint:  ", not_shows="MKL",
    ),
    "a .bz2 file": Habit("seq2seq check train.en.bz2 train.xx.xz", 0, "1,000"),
    "a .zst file": Habit("seq2seq check train.en.zst valid.xx", 3, "train.en.zst is .*Zstandard"),
    "a zip archive": Habit("seq2seq check valid.zip valid.xx", 3, "valid.zip is .*zip"),
    "a PDF": Habit("seq2seq check valid.pdf valid.xx", 3, "valid.pdf is .*PDF"),
    "a Word document": Habit("seq2seq check valid.docx valid.xx", 3, "valid.docx is .*Word"),
    "UTF-16": Habit(
        "seq2seq check utf16.en valid.xx", 3, "utf16.en looks like UTF-16", "usable pairs"
    ),
    "a parquet file": Habit("seq2seq check valid.parquet valid.xx", 3, "valid.parquet .*arquet"),
    "BLEU of targets under four words": Habit(
        f"seq2seq train short-store new {TINY} --set training.metric=bleu",
        0, "warning: BLEU cannot rank translations because no reference is four tokens long",
        setup="seq2seq preprocess train.en train.xx short-store --valid-source short.en"
        f" --valid-target short.xx {PREPARE}",
    ),
    "a blank reference line": Habit(
        "seq2seq score valid.xx blank.xx --no-confidence",
        0, "1 of 40 sentences has a blank reference",
    ),
    "a setting unlike any other": Habit(
        "seq2seq train store new --set training.zzz=1",
        2, "training has .*docs/settings.md", not_shows="validation_sentences",
    ),
    "a setting by its name in other tools": Habit(
        "seq2seq train store new --set training.lr=1e-3", 2, "called training.learning_rate here"
    ),
    "a setting without its section": Habit(
        "seq2seq train store new --set batch_size=32", 2, "called training.batch_tokens here"
    ),
    "a checkpoint in place of its run": Habit(
        "seq2seq translate run/checkpoints/best valid.en", 4, "name run; --checkpoint chooses"
    ),
    "a store in place of a run": Habit(
        "seq2seq translate store valid.en", 4, "train on it first: seq2seq train store RUN"
    ),
    "a run in place of a store": Habit(
        "seq2seq train run new", 3, "run is a run directory.*seq2seq train STORE RUN"
    ),
    "a web address": Habit("seq2seq check https://a.org/b valid.xx", 3, "download it first"),
    "a quoted ~": Habit("seq2seq check '~/valid.en' valid.xx", 3, "the shell replaces ~ only"),
    "a path with spaces": Habit(
        f"seq2seq preprocess train.en train.xx 'my store' {VALID} {PREPARE}",
        0, "next: seq2seq train 'my store' RUN",
    ),
    "train into a plain file": Habit(
        "seq2seq train store thesis.txt",
        2, "thesis.txt exists already and is not a run directory", not_shows="--resume",
        setup="echo precious > thesis.txt", keeps="thesis.txt",
    ),
    "a closed standard output": Habit(
        "seq2seq translate run valid.en --threads 1 >&-",
        6, "^error: standard output is closed\nhint:  ",
    ),
}  # fmt: skip

OTHER_TOOLS = {
    "check of BPE pieces": Habit("seq2seq check bpe.en bpe.xx", 0, "subword.*@@"),
    "check of SentencePiece pieces": Habit("seq2seq check sp.en sp.xx", 0, "subword.*▁"),
    "check of Moses tokens": Habit(
        "seq2seq check moses.en moses.xx", 0, "warning: .*moses.en .*tokenised"
    ),
    "check of escaped text": Habit("seq2seq check escaped.en escaped.xx", 0, "unescape"),
    "check of one side in lower case": Habit(
        "seq2seq check lower.en cased.xx", 0, "lower.en is all lower case"
    ),
    "check where each line ends in a full stop": Habit(
        "seq2seq check stop.en stop.xx", 0, r"warning: .*stop.en .* \."
    ),
    "check of lines with two columns": Habit("seq2seq check columns.en train.xx", 0, "cut -f1"),
    "check of JSON lines": Habit("seq2seq check json.en train.xx", 0, "are JSON, not text"),
    "check of TMX": Habit("seq2seq check tmx.en train.xx", 0, "begin with a tag of XML"),
    "check of numbered verses": Habit(
        "seq2seq check verses.en train.xx", 0, "begin with the number of a line or a verse"
    ),
    "preprocess with the sides of the validation set swapped": Habit(
        "seq2seq preprocess train.en train.xx new --valid-source valid.xx --valid-target valid.en"
        f" {PREPARE} {LANGUAGES}",
        0, "the sides of the validation set seem to be swapped",
    ),
    "translate of BPE pieces": Habit(
        "seq2seq translate run bpe.en --threads 1", 0, "warning: .*bpe.en .*subword pieces"
    ),
    "Russian to a model of English": Habit(
        "seq2seq translate run russian.en --threads 1",
        0, r"warning: .*russian.en.*unknown to the model, such as “кошка”",
    ),
    "capitals to a model of lower case": Habit(
        "seq2seq evaluate run upper.en valid.xx --threads 1", 0, "warning: .*upper.en",
    ),
    "sources far longer than any in training": Habit(
        "seq2seq translate run long.en --threads 1 --set search.max_length_factor=1",
        0, "warning: .*far longer",
    ),
}  # fmt: skip

HABITS: Mapping[str, Habit] = ONCE | WRITTEN | PROMPT | MESSAGES | OTHER_TOOLS

Shell = Callable[[str, Path], tuple[int | None, str]]
"""Runs a line of bash in a folder: its exit code, None if it did not end, and its output."""


def furnish(folder: Path) -> Corpus:
    """Write the corpus and the texts that the habits name."""
    corpus = Corpus(folder)
    corpus.write(train=1000, valid=40)
    for path in corpus.train:
        data = path.read_bytes()
        for ending, compressed in (
            ("gz", gzip.compress(data)),
            ("bz2", bz2.compress(data)),
            ("xz", lzma.compress(data)),
        ):
            path.with_name(f"{path.name}.{ending}").write_bytes(compressed)
    _write_other_formats(folder)
    for side in ("en", "xx"):
        _write_other_texts(folder, side)
    english = (folder / "valid.en").read_text().splitlines()
    _write(folder / "russian.en", ["кошка и собака"] * 40)
    _write(folder / "upper.en", map(str.upper, english))
    _write(folder / "long.en", (" ".join([line] * 20) for line in english))
    return corpus


def preparations(corpus: Corpus) -> list[tuple[object, ...]]:
    """The commands that make the store and the run."""
    store = corpus.folder / "store"
    return [corpus.preprocess(store), train(store, corpus.folder / "run")]


def perform(habit: Habit, folder: Path, shell: Shell) -> Outcome:
    if habit.setup:
        shell(habit.setup, folder)
    kept = (folder / habit.keeps).read_bytes() if habit.keeps else b""
    code, text = shell(habit.line, folder)
    return Outcome(code, text, bool(habit.keeps) and (folder / habit.keeps).read_bytes() != kept)


def bash(
    line: str, folder: Path, *, program: str, environment: Mapping[str, str]
) -> tuple[int | None, str]:
    """A line of bash in which `seq2seq` is a program; it is ended after a minute."""
    function = f'seq2seq() {{ {program} "$@"; }}; set -o pipefail; {line}'
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(
            ["bash", "-c", function],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,
        ) as shell,
    ):
        try:
            code: int | None = shell.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            code = None
        output.seek(0)
        return code, output.read().decode(errors="replace")


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_other_texts(folder: Path, side: str) -> None:
    """Texts that another tool changed, and texts with a fault."""
    lines = (folder / f"train.{side}").read_text().splitlines()
    valid = (folder / f"valid.{side}").read_text().splitlines()
    sentences = [f"{line.capitalize()}, don't {line}." for line in lines]
    changed = {
        "bpe": [re.sub(r"(\w\w)(?=\w)", r"\1@@ ", line) for line in lines],
        "sp": ["▁" + line.replace(" ", " ▁") for line in lines],
        "moses": [re.sub(r"(n't|[.,])", r" \1", line) for line in sentences],
        "escaped": [html.escape(f'"{line}" & {line}') for line in sentences],
        "lower": [line.lower() for line in sentences],
        "cased": sentences,
        "stop": [f"{line} ." for line in lines],
        "cut": [*lines[:-1], " ".join(lines)],
        "columns": [f"{line}\tune phrase" for line in lines],
        "json": [json.dumps({"translation": {side: line}}) for line in lines],
        "tmx": [f"<tuv><seg>{line}</seg></tuv>" for line in lines],
        "verses": [f"Mt {n // 30 + 1}:{n % 30 + 1} {line}" for n, line in enumerate(lines)],
        "blank": ["", *valid[1:]],
        "short": [" ".join(line.split()[:2]) for line in valid],
    }
    for name, changed_lines in changed.items():
        _write(folder / f"{name}.{side}", changed_lines)


def _write_other_formats(folder: Path) -> None:
    text = (folder / "valid.en").read_text()
    for name, member in (("valid.zip", "valid.en"), ("valid.docx", "word/document.xml")):
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            archive.writestr(member, text)
        (folder / name).write_bytes(data.getvalue())
    (folder / "train.en.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(50))
    (folder / "valid.pdf").write_bytes(b"%PDF-1.7\n" + text.encode())
    (folder / "valid.parquet").write_bytes(b"PAR1" + bytes(50) + b"PAR1")
    (folder / "utf16.en").write_bytes(text.encode("utf-16"))
    (folder / "latin1.en").write_bytes(b"caf\xe9\n" * 40)
