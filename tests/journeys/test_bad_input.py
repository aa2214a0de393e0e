"""Bad input of every kind: the exit code, the message with its hint, and no files left behind."""

import gzip
import json
import shutil

import pytest
from journey import train
from program import call

from seq2seq.errors import UserError


def refused(result, code, *messages):
    """The program refused with these texts in its message, no traceback, and nothing on stdout."""
    assert (result.code, result.out) == (code, ""), result.err
    assert "Traceback" not in result.err
    for text in messages:
        assert text in result.err
    notes, error, _ = f"\n{result.err}".partition("\nerror: ")
    assert error and (not notes or "can be read only once" in notes) and "\nhint:  " in result.err


@pytest.fixture
def untouched(tmp_path):
    """A function that returns the contents of the test's folder, to compare before and after."""

    def inside():
        return {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}

    return inside


def preprocess(corpus, store, *options, stdin=b"", **files):
    named = {
        "source": corpus.train[0],
        "target": corpus.train[1],
        "valid_source": corpus.valid[0],
        "valid_target": corpus.valid[1],
    } | files
    valid = ("--valid-source", named["valid_source"], "--valid-target", named["valid_target"])
    sizes = ("--vocabulary-size", 350)
    return call(
        "preprocess", named["source"], named["target"], store, *valid, *sizes, *options, stdin=stdin
    )


TEXT = b"a red dog\nthe cat\n"
BAD_TEXT = {
    "bytes that are not UTF-8": (
        b"a\ncaf\xe9 x\n",
        ":2: byte 4 of the line (0xe9) is not valid UTF-8",
    ),
    "UTF-16": (TEXT.decode().encode("utf-16"), "looks like UTF-16"),
    "UTF-16 without a mark": (TEXT.decode().encode("utf-16-le"), "looks like UTF-16"),
    "another number of lines": (TEXT, "lines but"),
    "nothing": (b"", "is empty"),
    "half of a gzip file": (gzip.compress(TEXT * 99)[:-30], "is a damaged compressed file"),
}


@pytest.mark.parametrize("what", BAD_TEXT)
@pytest.mark.parametrize("argument", ["source", "valid_target"])
def test_unusable_text_is_refused(what, argument, corpus, tmp_path, untouched):
    text, message = BAD_TEXT[what]
    path = tmp_path / "text [b].en"
    path.write_bytes(text)
    before = untouched()
    refused(preprocess(corpus, tmp_path / "store", **{argument: path}), 3, str(path), message)
    assert untouched() == before


@pytest.mark.parametrize("what", [name for name in BAD_TEXT if "gzip" not in name])
def test_unusable_standard_input_is_refused(what, corpus, tmp_path, untouched):
    text, message = BAD_TEXT[what]
    refused(
        preprocess(corpus, tmp_path / "s", source="-", stdin=text), 3, "standard input", message
    )
    assert untouched() == {}


def test_missing_files_and_folders_are_refused(corpus, tmp_path):
    for path, message in (("missing", "does not exist"), (".", "is a directory")):
        refused(preprocess(corpus, tmp_path / "store", source=tmp_path / path), 3, message)
    assert not list(tmp_path.iterdir())


def test_a_corpus_without_a_usable_pair_is_refused(corpus, tmp_path):
    for name, line in (("blank", b" \n"), ("long", b"word " * 500 + b"\n")):
        path = tmp_path / name
        path.write_bytes(line * 9)
        result = preprocess(corpus, tmp_path / "store", source=path, target=path)
        refused(result, 3, "no pair of", "seq2seq check")
        path.unlink()
    assert not list(tmp_path.iterdir())


def test_control_characters_and_markup_are_ordinary_text(corpus, tmp_path):
    lines = ["one\u2028line", "lone\rreturn", "[/b] [red] :smile:", "\x1b[2J", "\x0b\x0c\x85", "x"]
    sources, targets = tmp_path / "s", tmp_path / "t"
    sources.write_bytes(b"\xef\xbb\xbf" + "".join(f"{line}\r\n" for line in lines).encode())
    targets.write_text("".join(f"{line}\n" for line in lines), newline="")
    result = preprocess(
        corpus, tmp_path / "a b[b] store", "--json", valid_source=sources, valid_target=targets
    )
    assert result.code == 0, result.err
    assert json.loads(result.out)["splits"]["valid"]["cleaning"]["read"] == len(lines)
    assert (tmp_path / "a b[b] store" / "valid.source.txt").read_bytes() == targets.read_bytes()


def test_paths_that_cannot_be_written_are_refused(corpus, prepared, run, tmp_path):
    (tmp_path / "file").write_text("precious")
    for path in (tmp_path / "file" / "new", "/proc/new", "/dev/full/new", tmp_path / ("x" * 300)):
        refused(preprocess(corpus, path), 6, str(path)[:30].removesuffix("/new"))
        refused(call(*train(prepared, path)), 6, str(path))
    for output in (tmp_path / "file" / "new", "/proc/new", "/dev/full"):
        refused(call("evaluate", run, *corpus.valid, "--output", output), 6, str(output))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]


def test_existing_files_are_never_overwritten(corpus, prepared, run, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_text("precious")
    for path in (folder, folder / "file"):
        for options in ((), ("--overwrite",)):
            refused(preprocess(corpus, path, *options), 2, "exists already", "another path")
        refused(call(*train(prepared, path)), 2, "exists already", "another path")
    assert (folder / "file").read_text() == "precious"
    refused(call(*train(prepared, run)), 2, f"{run} exists already", "--resume")


def test_overwrite_replaces_a_store_but_no_folder_with_other_files(corpus, prepared, tmp_path):
    store = shutil.copytree(prepared, tmp_path / "store")
    swapped = {"valid_source": corpus.valid[1], "valid_target": corpus.valid[0]}
    refused(preprocess(corpus, store, **swapped), 2, "from other files", "--overwrite")
    (store / "run").mkdir()
    refused(preprocess(corpus, store, "--overwrite", **swapped), 2, "contains run")
    (store / "run").rmdir()
    assert preprocess(corpus, store, "--overwrite", **swapped).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


BAD_SETTINGS = {
    "--set=training.learning_rat=1": "did you mean training.learning_rate?",
    "--set=training.dropout=0.1": "did you mean model.dropout?",
    "--set=trainin.updates=3": "did you mean training?",
    "--set=training.updates=many": "training.updates is 'many'",
    "--set=training.updates=-1": "training.updates is -1",
    "--set=training.learning_rate=nan": "learning_rate is nan",
    "--set=training.learning_rate=1e999": "learning_rate is inf",
    "--set=updates=3": "it is called training.updates here",
    "--set=updates": "is not section.name=value",
    "--set=data.seed=3": "data.seed is fixed in the token store",
    "--recipe=smal": "did you mean small?",
    "--recipe=missing.toml": "missing.toml cannot be read",
    "--recipe=./": "cannot be read",
    "--device=gpu": "there is no device 'gpu'",
    "--minutes=-1": "training.minutes is -1",
}


@pytest.mark.parametrize("option", BAD_SETTINGS)
def test_invalid_settings_are_refused(option, prepared, tmp_path):
    refused(call("train", prepared, tmp_path / "run", option), 2, BAD_SETTINGS[option])
    assert not list(tmp_path.iterdir())


BAD_RECIPES = {
    "[model\nx=1": "is not valid TOML",
    "[model]\natention = 'luong'\n": "did you mean model.attention?",
    "updates = 3\n": "unknown section",
    "model = 3\n": "is a section",
    "a=" + "[" * 100_000: "is not valid TOML",
    "\udcff": "cannot be read",
}


@pytest.mark.parametrize("number", range(len(BAD_RECIPES)))
def test_invalid_recipes_are_refused(number, prepared, tmp_path):
    text, message = list(BAD_RECIPES.items())[number]
    recipe = tmp_path / "recipe.toml"
    recipe.write_bytes(text.encode(errors="surrogateescape"))
    refused(
        call("train", prepared, tmp_path / "run", "--recipe", recipe), 2, "recipe.toml", message
    )
    assert list(tmp_path.iterdir()) == [recipe]


def test_settings_that_contradict_each_other_are_refused(corpus, prepared, tmp_path):
    dot = call(*train(prepared, tmp_path / "run", "--score=dot", "--set=model.decoder_size=100"))
    refused(dot, 2, "score dot needs equal widths: model.decoder_size is 100", "general")
    assert preprocess(corpus, tmp_path / "store", "--separate").code == 0
    tied = call(*train(tmp_path / "store", tmp_path / "run", "--set=model.tie_embeddings=all"))
    refused(tied, 2, "separate vocabularies", "model.tie_embeddings=decoder")
    assert not (tmp_path / "run").exists()


def test_a_model_too_large_for_the_machine_is_refused(prepared, tmp_path):
    result = call(*train(prepared, tmp_path / "run", "--set=model.embedding_size=2000000000"))
    refused(result, 6, "out of memory")
    assert not list(tmp_path.iterdir())


def test_usage_errors_have_exit_code_2():
    for arguments in (("train",), ("trian",), ("train", "a", "b", "--attention", "self"), ()):
        result = call(*arguments)
        assert result.code == 2
        assert "Traceback" not in result.err


def test_paths_to_something_else_are_refused(corpus, prepared, run, tmp_path):
    nothing = tmp_path / "nothing"
    refused(call(*train(nothing, tmp_path / "run")), 3, "nothing is not a token store")
    refused(call(*train(run, tmp_path / "run")), 3, "is a run directory", "seq2seq train STORE RUN")
    for command in ("translate", "describe"):
        refused(call(command, nothing), 4, "nothing is n")
    for command in (("translate",), ("evaluate", *corpus.valid), ("align", corpus.valid[0])):
        refused(
            call(command[0], prepared, *command[1:]), 4, "is a token store, not a run directory"
        )
    refused(call("train", prepared, nothing, "--resume"), 4, "nothing is not a run directory")
    refused(call("translate", run, "--checkpoint", "update-7"), 4, "there are best, last")
    refused(call("translate", run, "--checkpoint", "../../run"), 4, "has no checkpoint")
    assert not list(tmp_path.iterdir())


def test_unusable_inputs_of_a_run_are_refused(corpus, run, tmp_path):
    source, _ = corpus.valid
    refused(call("translate", run, tmp_path / "missing"), 3, "does not exist")
    refused(call("evaluate", run, source, corpus.train[1]), 3, "has 40 lines but")
    refused(call("align", run, source, corpus.train[1]), 3, "has 40 lines but")
    refused(call("translate", run, "--set=model.cell=gru"), 2, "model.* cannot be set here")
    refused(call("translate", run, "--set=search.beam=0"), 2, "search.beam is 0")
    refused(call("translate", run, "--interactive", "--json"), 2, "--interactive")
    late = call("translate", run, stdin=b"red dog\n\xff\n")
    assert late.code == 3 and "standard input:2: byte 1" in late.err
    assert len(late.lines) == 1  # what came before is translated


def flip(path, *, at=-9):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_damaged_store_is_refused(corpus, prepared, tmp_path):
    for name in ("pieces.model", "train.ids", "train.offsets", "valid.lines"):
        store = shutil.copytree(prepared, tmp_path / "store")
        flip(store / name)
        refused(call(*train(store, tmp_path / "run")), 3, name, "--overwrite")
        refused(preprocess(corpus, store), 3, name, "--overwrite")
        shutil.rmtree(store)
    for text in ("", "[]", "{}", '{"format_version": 1}'):
        store = shutil.copytree(prepared, tmp_path / "store")
        (store / "meta.json").write_text(text)
        refused(call(*train(store, tmp_path / "run")), 3, "meta.json is damaged", "--overwrite")
        refused(preprocess(corpus, store), 3, "meta.json is damaged", "--overwrite")
        assert preprocess(corpus, store, "--overwrite").code == 0
        shutil.rmtree(store)
    assert not list(tmp_path.iterdir())


DAMAGE = {
    "checkpoints/{last}/model.safetensors": flip,
    "checkpoints/{last}/optimizer.safetensors": flip,
    "checkpoints/{last}/state.json": lambda path: path.write_text("{}"),
    "checkpoints/{last}/MANIFEST.json": lambda path: path.write_text("[]"),
    "pieces.model": lambda path: path.write_bytes(b"junk"),
    "provenance.json": lambda path: path.write_text("[1]"),
    "config.toml": lambda path: path.write_text("[model]\nx = 1\n"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_run_is_refused_or_resumed_from_an_earlier_checkpoint(
    name, run, prepared, tmp_path
):
    copy = shutil.copytree(run, tmp_path / "run")
    last = (run / "checkpoints" / "last").read_text().strip()
    DAMAGE[name](copy / name.format(last=last))
    file = name.format(last=last).removesuffix("/MANIFEST.json")
    refused(call("translate", copy, stdin=b"red dog\n"), 4, file, "damaged")
    more = ("train", prepared, copy, "--resume", "--set=training.updates=130")
    if name.startswith("checkpoints"):
        result = call(*more)  # goes on from the checkpoint before
        assert result.code == 0, result.err
        assert file in result.err and "damaged" in result.err and f"damaged-{last}" in result.err
        assert len(call("translate", copy, stdin=b"red dog\n").lines) == 1
    elif name != "pieces.model":
        refused(call(*more), 4, file, "damaged")


@pytest.mark.parametrize("rate", ["1e6", "1e38"])
def test_a_diverging_training_keeps_its_checkpoints(rate, prepared, tmp_path):
    run = tmp_path / "run"
    late = ("--set=training.warmup=1000000", "--set=training.validate_every=5")
    first = call(*train(prepared, run, *late, updates=10))
    assert first.code == 0, first.err
    config = run / "config.toml"
    text = config.read_text()
    assert "learning_rate = 0.01" in text
    config.write_text(
        text.replace("learning_rate = 0.01", f"learning_rate = {rate}").replace(
            "warmup = 1000000", "warmup = 0"
        )
    )
    before = {
        path: path.read_bytes() for path in (run / "checkpoints").rglob("*") if path.is_file()
    }
    result = call(
        "train", prepared, run, "--resume", "--set=training.updates=90",
        "--set=training.validate_every=80",
    )  # fmt: skip
    assert result.code == 5, result.err
    assert "error: the loss is" in result.err or "error: the gradient norm is" in result.err
    assert "corpus lines" in result.err and "hint:  lower training.learning_rate" in result.err
    assert {path: path.read_bytes() for path in before} == before
    assert len(call("translate", run, stdin=b"red dog\n").lines) == 1


def test_a_resumed_run_keeps_its_store_and_settings(prepared, run, corpus, tmp_path):
    assert preprocess(corpus, tmp_path / "other", "--separate").code == 0
    before = (run / "config.toml").read_bytes()
    more = "--set=training.updates=130"
    other = call("train", tmp_path / "other", run, "--resume", more)
    refused(other, 2, "another token store", str(prepared))
    refused(call("train", prepared, run, "--resume", "--set=model.dropout=0.4"), 2, "model.dropout")
    assert (run / "config.toml").read_bytes() == before


def test_every_kind_of_user_error_has_an_exit_code():
    from cli.app import EXIT_CODES

    assert set(EXIT_CODES) == set(UserError.__subclasses__())
