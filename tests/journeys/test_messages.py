"""Messages are true, and a command in one works when it is typed as it stands."""

import shlex
import shutil
import subprocess

import pytest
from program import ENVIRONMENT, PROGRAM, call

TINY = [
    *("--recipe", "tiny", "--threads", 1),
    *(
        f"--set={setting}"
        for setting in (
            "training.updates=4",
            "training.validate_every=2",
            "training.batch_tokens=300",
            "model.embedding_size=16",
            "model.encoder_size=8",
            "model.decoder_size=16",
        )
    ),
]


def command_in(text, mark):
    """The arguments of the last command of the program that follows a mark in a text."""
    line = text[text.rindex(mark) + len(mark) :].split("\n")[0]
    words = shlex.split(line[line.index("seq2seq ") :])
    return words[1:]


@pytest.fixture(scope="module")
def short_run(prepared, tmp_path_factory):
    """A store and its run of 4 updates, in folders whose names need quotes; read only."""
    folder = tmp_path_factory.mktemp("it's my work")
    store = shutil.copytree(prepared, folder / "a store")
    result = call("train", store, folder / "a run", *TINY)
    assert result.code == 0, result.err
    return store, folder / "a run", result.err


def copies(short_run, tmp_path):
    return [shutil.copytree(path, tmp_path / path.name) for path in short_run[:2]]


def test_next_lines_work_as_they_stand(corpus, short_run, tmp_path):
    prepared = call(*corpus.preprocess("- a store"), cwd=tmp_path)
    assert prepared.code == 2  # an option, for all that the program can know
    prepared = call(*corpus.preprocess("./- a store"), cwd=tmp_path)
    assert prepared.code == 0, prepared.err
    following = command_in(prepared.err, "next: ")
    assert following[-1] == "RUN"
    trained = call(*following[:-1], "./- a run", *TINY, cwd=tmp_path)
    assert trained.code == 0, trained.err
    for err in (trained.err, short_run[2]):
        translated = call(*command_in(err, "next: "), stdin=b"red dog\n", cwd=tmp_path)
        assert (translated.code, len(translated.lines)) == (0, 1), translated.err


def test_suggestions_to_try_name_the_store_in_quotes(short_run):
    store, _, err = short_run
    assert command_in(err, "try: ")[:2] == ["train", str(store)]


def test_a_store_that_was_made_anew_is_said_to_be(corpus, short_run, tmp_path):
    store, run = copies(short_run, tmp_path)
    provenance = (run / "provenance.json").read_text(encoding="utf-8")
    (run / "provenance.json").write_text(
        provenance.replace(str(short_run[0]), str(store)), encoding="utf-8"
    )
    fewer = tmp_path / "fewer.en"
    fewer.write_text("red dog\n" * 1000, encoding="utf-8")
    valid = ("--valid-source", corpus.valid[0], "--valid-target", corpus.valid[1])
    sizes = ("--set=data.max_words=9", "--vocabulary-size", 350, "--overwrite")
    made = call("preprocess", fewer, corpus.train[1], store, *valid, *sizes)
    assert made.code == 0, made.err
    result = call("train", store, run, "--resume")
    assert result.code == 2
    assert f"{store} was made anew after {run} was trained on it" in result.err
    assert "other text (train source)" in result.err and "data.max_words 9" in result.err
    assert "other subword pieces" in result.err
    typed = command_in(result.err, "hint: ")
    typed[typed.index("NEW_RUN")] = str(tmp_path / "new run")
    again = call(*typed, *TINY)
    assert again.code == 0, again.err


def test_the_hint_for_another_store_resumes(corpus, short_run, tmp_path):
    store, run = short_run[0], shutil.copytree(short_run[1], tmp_path / "a run")
    other = tmp_path / "other"
    assert call(*corpus.preprocess(other, "--separate")).code == 0
    result = call("train", other, run, "--resume")
    assert result.code == 2 and "another token store" in result.err
    resumed = call(*command_in(result.err, "hint: "), "--set=training.updates=5")
    assert resumed.code == 0, resumed.err
    shutil.rmtree(other)
    missing = (run / "provenance.json").read_text(encoding="utf-8")
    (run / "provenance.json").write_text(missing.replace(str(store), str(other)), encoding="utf-8")
    assert call(*corpus.preprocess(tmp_path / "third", "--separate")).code == 0
    gone = call("train", tmp_path / "third", run, "--resume")
    assert gone.code == 2 and "no longer there or has other contents" in gone.err


@pytest.mark.parametrize("name", ["model.qqqqqq", "training.zzz", "data.qqqqqqq", "search.qqqqqq"])
def test_an_unknown_setting_far_from_any_other_has_a_short_hint(name, prepared, tmp_path):
    result = call("train", prepared, tmp_path / "run", f"--set={name}=1")
    hint = result.err.split("hint:  ")[1]
    assert result.code == 2 and len(hint) < 150 and "did you mean" not in hint
    assert f"{name.partition('.')[0]} has " in hint and "docs/settings.md" in hint


def test_a_torch_that_cannot_be_loaded_is_one_line(tmp_path):
    (tmp_path / "torch").mkdir()
    for cause in ("OSError('libtorch_cpu.so: cannot open')", "ImportError('no symbol x')"):
        (tmp_path / "torch" / "__init__.py").write_text(f"raise {cause}\n")
        done = subprocess.run(
            [PROGRAM, "translate", "run"],
            capture_output=True,
            text=True,
            env=ENVIRONMENT | {"PYTHONPATH": str(tmp_path)},
        )
        assert done.returncode == 6, done.stderr
        assert done.stderr.startswith("error: torch cannot be loaded: ")
        assert "hint:  install it again" in done.stderr and "Traceback" not in done.stderr


def test_bleu_that_cannot_choose_is_said_in_training_and_in_its_report(corpus, tmp_path):
    short = tmp_path / "short.en", tmp_path / "short.xx"
    short[0].write_text("a cat\n" * 50)
    short[1].write_text("tac a\n" * 50)
    valid = ("--valid-source", short[0], "--valid-target", short[1])
    store = tmp_path / "store"
    made = call("preprocess", *corpus.train, store, *valid, "--vocabulary-size", 350)
    assert made.code == 0, made.err
    because = "BLEU cannot rank translations because no reference is four tokens long"
    result = call("train", store, tmp_path / "run", *TINY, "--set=training.metric=bleu")
    assert result.code == 0, result.err
    assert f"warning: {because}" in result.err
    assert because in (tmp_path / "run" / "report.txt").read_text()
    assert because not in call("train", store, tmp_path / "other", *TINY).err


def test_blank_references_are_counted(corpus, tmp_path):
    _, target = corpus.valid
    lines = target.read_text().splitlines()
    (tmp_path / "blank").write_text("\n".join(["", *lines[1:-1], " "]) + "\n")
    result = call("score", target, tmp_path / "blank", "--no-confidence")
    assert "2 of 40 sentences have a blank reference" in result.err
    both = call("score", target, tmp_path / "blank", target, "--no-confidence")
    assert "blank" not in both.err
