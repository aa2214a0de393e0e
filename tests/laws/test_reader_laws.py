"""Laws of all readers: any bytes are either read or refused with a message.

`python scripts/trials.py` tries 4,000 inputs each, new ones every time.
"""

import gzip
import io
import json
import shutil
import sys
import tomllib
from types import SimpleNamespace

import pytest
from examples import examples
from hypothesis import example, given
from hypothesis import strategies as st
from tiny import Kind, tiny_model

from cli.runs.config import (
    RunConfig,
    build_section,
    dump_config,
    load_config,
    parse_settings,
    read_recipe,
    resolve,
)
from cli.runs.directory import RunDirectory
from cli.runs.preset import read_preset
from cli.runs.translation import Candidate, PairScore, Translation
from cli.terminal.prompt.commands import command_names
from cli.terminal.prompt.conversation import converse
from data.corpora import read_manifest
from data.corpus import read_lines, survey
from data.source_statistics import PieceCounts
from data.token_store import TokenStore
from data.tokenization import check_model_file
from seq2seq.checkpoints.checkpoint import MANIFEST, verify
from seq2seq.checkpoints.folder import save_checkpoint
from seq2seq.config import SearchConfig, TrainingConfig
from seq2seq.errors import CheckpointError, ConfigError, CorpusError, UserError
from seq2seq.training.events import TrainingState
from seq2seq.training.optimization import build_optimizer

SLOW = examples(4)  # a process for each

LINE_ENDS_AND_MARKS = (
    b"\n",
    b"\r\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x1f\x8b",
)
DIGITS = b"9" * 5000  # too many for an int of Python
VALUES = (b"[" * 5000, b'{"a":' * 5000, DIGITS, b"1e999", b"nan", b"-1", b"null", b'"', b"'''")
UNTYPED = (
    b"\x1b]0;x\x07",
    b"\xc2\x9b2J",
    b"\xed\xa0\x80",
    b"\xe2\x80\xa8",
    b"= = ",
    b"a.b.c=",
    b"a" * 9999,
)
odd = st.sampled_from([*LINE_ENDS_AND_MARKS, *VALUES, *UNTYPED])
chunks = st.binary(max_size=12) | odd
texts = st.lists(chunks | st.text(max_size=8).map(lambda t: t.encode("utf-8", "replace"))).map(
    b"".join
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@st.composite
def damaged(draw, whole: bytes) -> bytes:
    """Bytes of which some were changed, lost, doubled or inserted."""
    found = whole
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(found)))
        end = min(len(found), begin + draw(st.sampled_from([0, 1, 2, 8, 64, len(found)])))
        found = found[:begin] + draw(chunks | st.just(2 * found[begin:end])) + found[end:]
    return found


@st.composite
def swapped(draw, whole):
    """A JSON value of which one part was replaced."""
    if not isinstance(whole, dict | list) or not whole or draw(st.integers(0, 3)) == 0:
        return draw(json_values)
    copy = whole.copy()
    key = draw(st.sampled_from(sorted(copy) if isinstance(copy, dict) else range(len(copy))))
    if draw(st.booleans()):
        copy[key] = draw(swapped(copy[key]))
    else:
        del copy[key]
    return copy


def damaged_json(whole: bytes):
    """Damaged bytes, or a damaged value."""
    return damaged(whole) | swapped(json.loads(whole)).map(lambda value: json.dumps(value).encode())


def refused(error: UserError) -> None:
    """The error has a message and a hint."""
    assert error.message.strip() and error.hint


@pytest.fixture(scope="module")
def base_path(tmp_path_factory):
    return tmp_path_factory.mktemp("odd") / "file"


@given(content=texts, packed=st.booleans())
def test_text_has_as_many_lines_as_line_feeds_or_is_refused(base_path, content, packed):
    path = base_path.with_suffix(".gz" if packed else ".txt")
    path.write_bytes(gzip.compress(content) if packed else content)
    try:
        lines = list(read_lines(path))
    except CorpusError as error:
        refused(error)
        with pytest.raises(CorpusError):
            survey(path)
        return
    assert len(lines) == content.count(b"\n") + (not content.endswith(b"\n") and content != b"")
    assert not any("\n" in line for line in lines)
    if lines:
        assert survey(path).lines == len(lines)


@given(content=damaged(gzip.compress(b"one\ntwo\n" * 40)))
def test_gzip_that_is_damaged_is_text_or_refused(base_path, content):
    path = base_path.with_suffix(".gz")
    path.write_bytes(content)
    try:
        assert all(isinstance(line, str) for line in read_lines(path))
    except CorpusError as error:
        refused(error)


CONFIG = dump_config(RunConfig()).encode()


@example(b"[training]\nupdates = " + DIGITS)
@example(b"[" * 5000)
@given(content=damaged(CONFIG) | texts)
def test_a_config_is_read_or_refused(base_path, content):
    path = base_path.with_suffix(".toml")
    path.write_bytes(content)
    try:
        config = load_config(path)
    except CheckpointError as error:
        refused(error)
    else:
        path.write_text(dump_config(config), encoding="utf-8")
        assert load_config(path) == config
    try:
        resolve(read_recipe(str(path)))
    except ConfigError as error:
        refused(error)
    try:
        read_preset(str(path))
    except ConfigError as error:
        refused(error)


@example([DIGITS.decode()])
@given(st.lists(st.text(max_size=30) | texts.map(lambda t: t.decode("latin-1")), max_size=3))
def test_settings_of_the_command_line_are_read_or_refused(given):
    for each in (given, [f"training.updates={text}" for text in given]):
        try:
            resolve(parse_settings(each))
        except ConfigError as error:
            refused(error)


CORPORA = (
    b'[main]\nweight = 1\n[back]\nsource = "a.de"\ntarget = "a.en"\nweight = 0.5\ntag = "back"\n'
)


@example(b"main = " + DIGITS)
@example(b"main = " + b"[" * 5000)
@given(content=damaged(CORPORA) | texts)
def test_a_corpora_file_is_read_or_refused(base_path, content):
    path = base_path.with_suffix(".corpora")
    path.write_bytes(content)
    try:
        read_manifest(path)
    except ConfigError as error:
        refused(error)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = tiny_model(Kind("none"))
    optimizer = build_optimizer(model, TrainingConfig())
    folder = tmp_path_factory.mktemp("checkpoints")
    path = save_checkpoint(folder, model, optimizer, TrainingState(update=3))
    return path, (path / MANIFEST).read_bytes()


@given(data=st.data())
def test_a_manifest_is_whole_or_refused(saved, data):
    path, whole = saved
    content = data.draw(damaged_json(whole))
    (path / MANIFEST).write_bytes(content)
    try:
        verify(path)
    except CheckpointError as error:
        refused(error)
    else:
        assert json.loads(content)["sha256"] == json.loads(whole)["sha256"]


@pytest.fixture(scope="module")
def a_store(tmp_path_factory, store_path):
    path = tmp_path_factory.mktemp("stores") / "store"
    shutil.copytree(store_path, path)
    return path, (path / "meta.json").read_bytes()


@given(data=st.data())
def test_a_store_is_opened_or_refused(a_store, data):
    path, whole = a_store
    (path / "meta.json").write_bytes(data.draw(damaged_json(whole)))
    try:
        store = TokenStore.open(path)
        store.verify()
        split = store.split("train")
        assert len(split.source(0)) == split.source_lengths[0]
        assert store.tokenizer("source").encode("a")
    except UserError as error:
        refused(error)


@pytest.fixture(scope="module")
def a_run(tmp_path_factory, store_path):
    config = resolve(read_recipe("tiny"))
    path = tmp_path_factory.mktemp("runs") / "run"
    RunDirectory.create(path, config, TokenStore.open(store_path))
    return path, (path / "provenance.json").read_bytes()


@given(data=st.data())
def test_a_run_is_opened_or_refused(a_run, data):
    path, whole = a_run
    (path / "provenance.json").write_bytes(data.draw(damaged_json(whole)))
    try:
        run = RunDirectory.open(path)
        assert run.tokenizer("source").encode("a")
        assert run.main_tag is None or isinstance(run.main_tag, str)
        run.record_changes([{"setting": "training.updates"}])
        assert RunDirectory.open(path).provenance["changes"][-1]["setting"]
    except UserError as error:
        refused(error)


@SLOW
@given(data=st.data())
def test_pieces_are_parsed_or_refused_and_never_end_the_program(store_path, base_path, data):
    whole = next(store_path.glob("*.model")).read_bytes()
    path = base_path.with_suffix(".model")
    path.write_bytes(data.draw(damaged(whole) | texts))
    problem = check_model_file(path)
    assert problem is None or problem.strip()


class Echo:
    """A translator whose model is a mirror."""

    origin = None
    heads = 0
    target_language = "xx"
    comparison = SimpleNamespace(
        training=None,
        most_unknown=0.0,
        count=lambda ids: PieceCounts(),
        is_finer=lambda counts: False,
        is_far_longer=lambda counts: False,
    )

    def __init__(self, search=None):
        self.search = search or SearchConfig()

    def with_search(self, search, notify=None):
        return Echo(build_section("search", self.search.model_dump() | search))

    def translate(self, lines, *, n_best=1, head=None):
        (text,) = (line if isinstance(line, str) else line.source for line in lines)
        candidates = (Candidate(text, -1.0, -1.0, (), (), None),) * n_best
        return [Translation(text, candidates, truncated=False)]

    def force(self, source, target, *, head=None):
        return Translation(source, (), truncated=False)

    align = force

    def score_pairs(self, pairs):
        return [PairScore(pair, (), (), truncated=False) for pair in pairs]

    def source_labels(self, source):
        return ("</s>",)

    def log_probabilities(self, source, candidate):
        return []

    def require_attention(self):
        raise ConfigError("a mirror pays no attention")


TYPED = ["/", "//", "/beam 3", "/n-best 2", "/save ~nobody-at-all/"]
WITH_FILES = {"compare", "save"}
commands = st.sampled_from(
    [*TYPED, *(f"/{name} " for name in command_names() if name not in WITH_FILES)]
)


@given(lines=st.lists(st.tuples(commands | st.just(""), st.text(max_size=20)).map("".join)))
def test_anything_typed_gets_an_answer(lines):
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        typed = ([line] for line in lines)
        patch.setattr("cli.terminal.prompt.conversation._entries", lambda *_, **__: typed)
        patch.setattr("cli.terminal.prompt.session.views", lambda *_: [])
        patch.setattr(sys, "stdout", shown)
        patch.setattr(sys, "stderr", io.StringIO())
        converse(Echo())
    leaves = (i for i, line in enumerate(lines) if line.partition(" ")[0] in ("/quit", "/exit"))
    before = lines[: next(leaves, None)]
    answered = [line for line in before if line.strip() and not line.startswith("/")]
    assert shown.getvalue().count("\n") >= len(answered)


def test_the_undamaged_files_are_accepted():
    assert tomllib.loads(CONFIG.decode()) and tomllib.loads(CORPORA.decode())
