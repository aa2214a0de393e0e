"""The installed package: no name collisions, a quick start, and no file missing."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import typer
from journey import Corpus
from program import seq2seq

from cli.app import app
from cli.runs.config import recipe_names
from cli.runs.preset import preset_names

ROOT = Path(__file__).resolve().parents[2]


def test_folders_with_the_names_of_our_packages_change_nothing(tmp_path):
    for name in ("cli", "data", "seq2seq"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    result = seq2seq("--version", cwd=tmp_path)
    assert result.code == 0, result.err
    assert result.out.startswith("seq2seq-trainer ")
    missing = seq2seq("train", "store", "run", cwd=tmp_path)
    assert (missing.code, missing.err.split("\n")[0]) == (3, "error: store is not a token store")


def python(code, *, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "PYTHONWARNINGS": "error"} | environment,
        timeout=60,
    )


def test_seq2seq_does_not_import_the_data_package(tmp_path):
    (tmp_path / "data.py").write_text("raise SystemExit('the wrong one')\n")
    code = "import seq2seq, seq2seq.errors, seq2seq.config; print('fine')"
    done = python(code, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.stdout == "fine\n", done.stderr


SLOW_TO_IMPORT = {
    "torch", "numpy", "pydantic", "rich", "sacrebleu", "sentencepiece", "prompt_toolkit", "pooch",
    "safetensors", "emoji", "psutil", "optuna",
}  # fmt: skip


def loaded_by(*commands, cwd):
    """The top-level names of all modules that are loaded after these command lines."""
    code = f"""
import sys
from cli.app import main
for arguments in {[list(map(str, command)) for command in commands]}:
    sys.argv = ["seq2seq", *arguments]
    try:
        main()
    except SystemExit as error:
        assert error.code == 0, (arguments, error.code)
print("loaded:", *{{name.partition(".")[0] for name in sys.modules}})
"""
    done = python(code, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return set(done.stdout.splitlines()[-1].removeprefix("loaded: ").split())


def test_help_imports_nothing_slow(tmp_path):
    loaded = loaded_by(["--help"], cwd=tmp_path)
    assert "cli" in loaded and not loaded & SLOW_TO_IMPORT
    commands = typer.main.get_command(app).commands
    loaded = loaded_by(*([name, "--help"] for name in commands), cwd=tmp_path)
    assert loaded & SLOW_TO_IMPORT <= {"pydantic"}  # by Typer, for the types of options


def test_commands_that_run_no_model_import_no_torch(tmp_path):
    corpus = Corpus(tmp_path)
    corpus.write(train=1000, valid=40)
    loaded = loaded_by(
        ["corpus", "list"],
        ["check", *corpus.train],
        corpus.preprocess(tmp_path / "store"),
        ["score", corpus.valid[1], corpus.valid[1]],
        ["describe", "bahdanau2015"],
        cwd=tmp_path,
    )
    assert "rich" in loaded and "torch" not in loaded


def test_the_wheel_holds_every_file_of_our_packages():
    """hatchling packs what is in these folders and not ignored by git; nothing may be ignored."""
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"][
        "targets"
    ]["wheel"]["packages"]
    assert packages == ["cli", "data", "seq2seq"]
    files = [
        path
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert {path.suffix for path in files} == {".py", ".toml", ".html", ".css", ".js"}
    for folder, names in {"recipes": recipe_names(), "presets": preset_names()}.items():
        assert names == sorted(p.stem for p in files if p.parent.name == folder)
    ignored = subprocess.run(
        ["git", "check-ignore", *map(str, files)], cwd=ROOT, capture_output=True, text=True
    )
    assert ignored.stdout == ""


def test_no_format_that_can_run_code_is_read():
    """No format that can carry code: weights are safetensors, the rest JSON, TOML and text."""
    forbidden = re.compile(
        r"\bpickle\b|\btorch\.load\(|allow_pickle(?!=False)|\byaml\.load|(?<![.\w])eval\(|(?<![.\w])exec\("
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for package in ("cli", "data", "seq2seq", "scripts")
        for path in (ROOT / package).rglob("*.py")
        if path != ROOT / "scripts" / "benchmarks" / "peers.py"  # quotes what it patches in peers
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1)
        if forbidden.search(line) and "no pickle" not in line
    ]
    assert found == []


def test_scripts_are_valid_shell_and_executable():
    for name in ("scripts/demo", "scripts/test", "scripts/check", "scripts/setup", ".ci/run"):
        path = ROOT / name
        subprocess.run(["bash", "-n", path], check=True)
        assert name == "scripts/setup" or path.stat().st_mode & 0o111, f"{name} is not executable"


def test_constraints_satisfy_the_dependencies():
    from packaging.requirements import Requirement

    pinned = dict(
        re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in project["dependencies"] + project["optional-dependencies"]["dev"]:
        requirement = Requirement(line)
        assert requirement.name in pinned and pinned[requirement.name] in requirement.specifier
