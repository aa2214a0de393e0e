"""`describe --verify` checks every part and finds all damage; no file is ever executed."""

import json
import random
import re
import shutil
import signal
from pathlib import Path

import pytest
from program import call
from reruns import new_run, train
from tiny import Kind, tiny_model

import data.tokenization
from cli.runs.directory import RunDirectory
from data.token_store import TokenStore
from data.tokenization import check_model_file
from seq2seq.checkpoints.checkpoint import verify
from seq2seq.checkpoints.folder import save_checkpoint
from seq2seq.config import TrainingConfig
from seq2seq.errors import CheckpointError
from seq2seq.training.events import TrainingState
from seq2seq.training.optimization import build_optimizer

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, store_path) -> Path:
    store = TokenStore.open(store_path)
    run = new_run(tmp_path_factory.mktemp("runs") / "run", store, training={"updates": 8})
    train(run, store)
    return run.path


@pytest.fixture
def run(trained, tmp_path) -> RunDirectory:
    return RunDirectory.open(shutil.copytree(trained, tmp_path / "run"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    model = tiny_model(Kind("luong"))
    optimizer = build_optimizer(model, TrainingConfig())
    return save_checkpoint(tmp_path_factory.mktemp("flips"), model, optimizer, TrainingState())


def test_each_of_500_flipped_bits_is_noticed(checkpoint):
    rng = random.Random(7)
    files = sorted(checkpoint.iterdir())
    for number in range(500):
        file = files[number % len(files)]
        whole = file.read_bytes()
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            verify(checkpoint)
        file.write_bytes(whole)
    verify(checkpoint)


def test_each_truncation_is_noticed(checkpoint):
    rng = random.Random(8)
    for file in sorted(checkpoint.iterdir()):
        whole = file.read_bytes()
        lengths = range(len(whole))
        if len(whole) > 600:
            lengths = sorted({0, 1, 8, len(whole) - 1, *rng.sample(lengths, 200)})
        for length in lengths:
            file.write_bytes(whole[:length])
            with pytest.raises(CheckpointError):
                verify(checkpoint)
        file.write_bytes(whole)
    verify(checkpoint)


def test_every_part_of_an_undamaged_folder_is_reported_whole(run, store_path):
    for path, parts in ((run.path, 10), (store_path, 2), (run.checkpoint(), 1)):
        result = call("describe", path, "--verify")
        assert result.code == 0, result.err
        assert len(result.lines) >= parts
        assert all(line.startswith("whole    ") for line in result.lines)
        found = json.loads(call("describe", path, "--verify", "--json").out)
        assert [each["problem"] for each in found["parts"]] == [None] * len(result.lines)


@pytest.mark.parametrize(
    "name",
    [
        "pieces.model",
        "output.ids",
        "checkpoints/{last}/state.json",
        "metrics.jsonl",
        "curves.jsonl",
    ],
)
def test_a_damaged_part_is_named_and_the_others_are_still_checked(run, name):
    path = run.path / name.format(last=run.checkpoint("last").name)
    whole = len(call("describe", run.path, "--verify").lines)
    path.write_bytes(path.read_bytes()[:-9])
    result = call("describe", run.path, "--verify")
    assert result.code == 4
    assert len(result.lines) == whole
    assert any(line.startswith("damaged  ") and str(path) in line for line in result.lines)
    assert "are damaged" in result.err and "hint:" in result.err


def test_a_damaged_store_gives_exit_code_4(store_path, tmp_path):
    store = shutil.copytree(store_path, tmp_path / "store")
    flip(store / "train.ids")
    result = call("describe", store, "--verify")
    assert result.code == 4 and "train.ids is missing or damaged" in result.out


def test_a_model_file_that_crashes_the_parser_is_reported_as_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr(data.tokenization, "_CHECK_MODEL", "import os; os.abort()")
    problem = check_model_file(tmp_path / "pieces.model")
    assert problem.endswith(f"is damaged: parsing it ends in {signal.SIGABRT.name}")


@pytest.mark.parametrize(
    "content", [b"", b"junk", b"\n" + b"\x80" * 400, b"\x0a\xff\xff\xff\xff\x0f"]
)
def test_a_file_that_is_not_a_model_is_reported_as_damaged(tmp_path, content):
    path = tmp_path / "pieces.model"
    path.write_bytes(content)
    assert str(path) in check_model_file(path)


DANGEROUS_CALLS = (
    r"import pickle|pickle\.\w", r"\btorch\.load\b", r"\bmarshal\b", r"\bshelve\b",
    r"\bjoblib\b", r"\bdill\b",
    r"(?<![\w.])eval\(", r"(?<![\w.])exec\(", r"(?<![\w.])compile\(", r"\b__import__\b",
    r"\bimportlib\.import_module\b", r"\bimport yaml\b", r"\ballow_pickle\s*=\s*True",
    r"\bnp\.load\((?!path, allow_pickle=False\))", r"\bshell\s*=\s*True",
    r"\bos\.(system|popen|exec|spawn)", r"\bextractall\b",
    r"\bweights_only\b", r"\btorch\.hub\b", r"\btorch\.jit\.load\b",
)  # fmt: skip


@pytest.mark.parametrize("package", ["cli", "data", "seq2seq"])
def test_no_code_can_execute_the_contents_of_a_file(package):
    found = [
        f"{path}:{number}: {line}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1)
        for pattern in DANGEROUS_CALLS
        if re.search(pattern, line) and not line.strip().startswith("#")
    ]
    assert not found, "\n".join(found)
