"""All commands by introspection: does each take a pipe as it takes a file, and spare its inputs?

A parameter is found by its type, `Path`, and has an example by its name. A new command is covered
once the names of its parameters are in the tables below; until then it counts as a fault.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import get_args
from unittest import mock

import typer
from journey import Corpus
from program import ProgramResult, call_main, command_of

from cli import app as program

FILE_NAMED_BY_TEXT = {"recipe", "location"}  # parameters of type `str` that may be a path
NEW_FILE, NEW_FOLDER = "new file", "new folder"
EXAMPLES = {  # file or folder in the workplace, or what is to be created there
    "source": "valid.en", "file": "valid.en", "target": "valid.xx", "references": "valid.xx",
    "hypotheses": "valid.xx", "prefix": "valid.xx",
    "valid_source": "valid.en", "valid_target": "valid.xx",
    "corpora": "corpora.toml", "recipe": "recipe.toml",
    "store": "store", "pieces_of": "store",
    "run": "run", "with_": "run", "start_from": "run", "path": "run", "location": "folder",
    "output": NEW_FILE, "directory": NEW_FOLDER,
    "test_source": "valid.en", "test_reference": "valid.xx",
    "runs": "run", "reference": "valid.xx", "pictures": NEW_FOLDER,
    "reference_links": "links", "grid": "grid.toml",
    "align reference": "drawn.pharaoh", "tune-rescoring reference": "valid.xx",
    "reverse": "reverse", "rescore_with": "reverse", "with_reverse": "run", "align compare": "run",
    "preprocess alignments": "train.links",
    "preprocess source": "train.en", "preprocess target": "train.xx",
    "preprocess store": NEW_FOLDER, "train run": NEW_FOLDER,
    "compare out": NEW_FOLDER, "compare-outputs hypotheses": "other.xx",
}  # fmt: skip
BESIDE = {  # what belongs to an optional file
    "translate prefix": {"file": "valid.en"},
    "align reference": {"target": "valid.xx"},
}
REQUIRED = {"corpus get name": "greek-nt"}  # values of parameters that are no path
GIVEN = {"compare out"}  # may be left out in another use of the command
LANGUAGES = ("--source-language", "en", "--target-language", "xx")  # a pipe's name has no ending
OPTIONS: dict[str, Sequence[str]] = {
    "preprocess": ("--vocabulary-size", "350", "--threads", "1", *LANGUAGES),
    "train": ("--threads", "1", "--set", "training.updates=2"),
    "align": ("--format", "json", "--threads", "1"),
    "align compare": ("--threads", "1"),  # in place of those above, where it is given
    "align output": ("--format", "html", "--threads", "1"),
    "align reference": ("--threads", "1"),
    "align with_reverse": ("--format", "pharaoh", "--threads", "1"),
    "evaluate": ("--threads", "1",),
    "score-pairs": ("--threads", "1",),
    "bench": ("--threads", "1", "--sentences", "1", "--repeats", "1"),
    "translate": ("--threads", "1",),
    "tune-rescoring": ("--threads", "1", "--beam", "2"),
    "demo": ("--minutes", "0.01"),
    "compare": ("--dry-run", "--minutes", "1", "--test-source", "valid.en",
                "--test-reference", "valid.xx"),
    "report": ("--test-source", "valid.en", "--test-reference", "valid.xx", "--threads", "1"),
    "compare-outputs": ("--name", "a"),
}  # fmt: skip
DIFFERS_EACH_TIME = {  # files with names of inputs or with times
    "meta.json", "provenance.json", "train.log", "report.txt", "state.json", "MANIFEST.json",
    "curves.jsonl",
}  # fmt: skip
TRAIN_PAIRS, VALID_PAIRS = 300, 10  # of the corpus, each command runs so often
RECIPE = "[model]\nembedding_size = 16\nencoder_size = 16\ndecoder_size = 16\n"


@dataclass(frozen=True)
class Parameter:
    """A parameter of a command that is a file or folder."""

    command: str  # such as "corpus get"
    name: str
    flag: str | None  # None: an argument
    required: bool

    @property
    def example(self) -> str | None:
        return EXAMPLES.get(f"{self.command} {self.name}", EXAMPLES.get(self.name))


@dataclass(frozen=True)
class Command:
    """A command, its parameters that are files or folders, and its other required arguments."""

    name: str
    parameters: tuple[Parameter | str, ...]  # a string is a value to write there
    overwrites: bool  # it has --overwrite

    @property
    def files(self) -> list[Parameter]:
        return [each for each in self.parameters if isinstance(each, Parameter)]


def commands_of(app: typer.Typer) -> Iterator[Command]:
    """Every command of a program, with the commands of its groups."""
    yield from _walk(command_of(app), "")


def _walk(command: object, name: str) -> Iterator[Command]:
    if children := getattr(command, "commands", None):
        for child_name, child in children.items():
            yield from _walk(child, f"{name} {child_name}".strip())
        return
    parameters: list[Parameter | str] = []
    overwrites = False
    for each in command.params:  # type: ignore[attr-defined]
        flag = each.opts[0] if each.param_type_name == "option" else None
        required = each.required or f"{name} {each.name}" in GIVEN
        overwrites |= flag == "--overwrite"
        annotation = each.type_descriptor.annotation  # Path or list[Path]
        if Path in (annotation, *get_args(annotation)) or each.name in FILE_NAMED_BY_TEXT:
            parameters.append(Parameter(name, each.name, flag, required))
        elif each.required:
            parameters.append(REQUIRED[f"{name} {each.name}"])
    yield Command(name, tuple(parameters), overwrites)


@dataclass(frozen=True)
class Workplace:
    """A folder with a file or folder for each example, in which commands are called."""

    folder: Path
    app: typer.Typer

    @classmethod
    def furnish(
        cls, folder: Path, app: typer.Typer, corpus: Corpus, store: Path, run: Path
    ) -> "Workplace":
        for files, pairs in ((corpus.train, TRAIN_PAIRS), (corpus.valid, VALID_PAIRS)):
            for path in files:
                lines = path.read_bytes().splitlines(keepends=True)
                (folder / path.name).write_bytes(b"".join(lines[:pairs]))
        shutil.copy(folder / "valid.xx", folder / "other.xx")
        shutil.copytree(store, folder / "store")
        shutil.copytree(run, folder / "run")
        shutil.copytree(run, folder / "reverse")
        provenance = folder / "reverse" / "provenance.json"
        about = json.loads(provenance.read_text())
        about |= {"source_language": "xx", "target_language": "en"}
        provenance.write_text(json.dumps(about))
        (folder / "folder").mkdir()
        (folder / "recipe.toml").write_text(RECIPE)
        (folder / "grid.toml").write_text('[grid]\n"model.attention" = ["luong", "none"]\n')
        (folder / "links").write_text("0-0\n" * VALID_PAIRS)
        (folder / "drawn.pharaoh").write_text("0-0\n" * VALID_PAIRS)
        (folder / "train.links").write_text("0-0\n" * TRAIN_PAIRS)
        (folder / "corpora.toml").write_text('[back]\nsource = "valid.xx"\ntarget = "valid.en"\n')
        return cls(folder, app)

    def call(
        self,
        command: Command,
        values: Mapping[str, str],
        *options: str,
        stdin: bytes = b"",
    ) -> tuple[ProgramResult, dict[str, str]]:
        """The result, and the hashes of the files it wrote, which are then removed.

        values: by the name of a parameter, where it is not its example or is not required
        """
        for name in values:
            values = BESIDE.get(f"{command.name} {name}", {}) | dict(values)
        before = set(self.folder.iterdir())
        own = [f"{command.name} {name}" for name in values if f"{command.name} {name}" in OPTIONS]
        usual = OPTIONS.get([*own, command.name][0], ())
        arguments = [*command.name.split(), *usual, *options]
        for each in command.parameters:
            if isinstance(each, str):
                arguments.append(each)
            elif each.required or each.name in values:
                value = values.get(each.name, "new" if is_new(each) else str(each.example))
                arguments += [value] if each.flag is None else [each.flag, value]
        (self.folder / "temporary").mkdir()
        with (
            mock.patch.object(program, "app", command_of(self.app)),
            mock.patch.object(tempfile, "tempdir", str(self.folder / "temporary")),
        ):
            result = call_main(program.main, *arguments, stdin=stdin, cwd=self.folder)
        written: dict[str, str] = {}
        for path in set(self.folder.iterdir()) - before:
            for file in [path, *path.rglob("*")]:
                if file.is_file() and file.name not in DIFFERS_EACH_TIME:
                    written[str(file.relative_to(self.folder))] = hash_of(file)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return result, written

    def hashes(self) -> dict[Path, str]:
        """The contents of every file."""
        return {path: hash_of(path) for path in self.folder.rglob("*") if path.is_file()}


def is_new(parameter: Parameter) -> bool:
    return parameter.example in (NEW_FILE, NEW_FOLDER)


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def unknown_parameters(command: Command) -> list[str]:
    return [
        f"{command.name} {each.name}: there is no example of it in EXAMPLES"
        for each in command.files
        if each.example is None
    ]


# Inputs


def pipe_faults(workplace: Workplace, command: Command) -> list[str]:
    """Where a pipe or "-" has another result than a file, and is not refused before it is read."""
    if unknown := unknown_parameters(command):
        return unknown
    inputs = [each for each in command.files if not is_new(each)]
    texts = [each for each in inputs if (workplace.folder / str(each.example)).is_file()]
    required = [each for each in texts if each.required]
    together = [required] if len(required) > 1 else []
    faults = []
    for group in [*([each] for each in texts), *together]:
        expected = workplace.call(command, {each.name: str(each.example) for each in group})
        assert expected[0].code == 0, expected[0].err
        faults += _compare(workplace, command, group, expected)
    for each in inputs:
        if each not in texts:
            faults += _folder_faults(workplace, command, each)
    return faults


def _compare(
    workplace: Workplace,
    command: Command,
    group: list[Parameter],
    expected: tuple[ProgramResult, dict[str, str]],
) -> list[str]:
    """The faults of parameters that are all pipes, and of the first one as standard input."""
    name = f"{command.name} {' '.join(each.name for each in group)}"
    examples = [str(each.example) for each in group]
    contents = [(workplace.folder / example).read_bytes() for example in examples]
    wanted = _without_names(expected[0].out, examples), expected[1]
    faults = []
    with ExitStack() as stack:
        ends = [_pipe(stack, content) for content in contents]
        typed = [f"/dev/fd/{end}" for end in ends]
        values = {each.name: value for each, value in zip(group, typed, strict=True)}
        result, written = workplace.call(command, values)
        unread = [os.read(end, 1 << 20) for end in ends] == contents
    refused = result.code == 2 and unread and any(value in result.err for value in typed)
    if not refused and (_without_names(result.out, typed), written) != wanted:
        faults.append(f"{name}: a pipe is not what a file is: {result.code} {result.err[-300:]}")
    if len(group) == 1:
        result, written = workplace.call(command, {group[0].name: "-"}, stdin=contents[0])
        if (_without_names(result.out, ["standard input"]), written) != wanted:
            faults.append(f"{name}: - is not what a file is: {result.code} {result.err[-300:]}")
    else:
        result, written = workplace.call(
            command, {each.name: "-" for each in group}, stdin=contents[0]
        )
        if result.code != 2 or written or "more than once" not in result.err:
            faults.append(f"{name}: - is taken several times: {result.code} {result.err[-300:]}")
    return faults


def _folder_faults(workplace: Workplace, command: Command, parameter: Parameter) -> list[str]:
    """A pipe in place of a folder is refused before it is read, by its name."""
    with ExitStack() as stack:
        end = _pipe(stack, b"text\n")
        result, written = workplace.call(command, {parameter.name: f"/dev/fd/{end}"})
        unread = os.read(end, 10) == b"text\n"
    if result.code in (0, 1) or written or not unread or f"/dev/fd/{end}" not in result.err:
        return [f"{command.name} {parameter.name}: a pipe is not refused: {result.err[-300:]}"]
    return []


def _pipe(stack: ExitStack, content: bytes) -> int:
    """The reading end of a pipe that holds the content, which must be small, and then ends."""
    read_end, write_end = os.pipe()
    stack.callback(os.close, read_end)
    with os.fdopen(write_end, "wb") as stream:
        stream.write(content)
    return read_end


def _without_names(out: str, names: Sequence[str]) -> list[str]:
    """The lines of a result, with paths left out, and without the command to type next."""
    for name in names:
        out = out.replace(name, "INPUT")
    return [line for line in out.split("\n") if not line.startswith("  next: ")]


# Outputs


def output_faults(workplace: Workplace, command: Command) -> list[str]:
    """Where a command writes over an input or over another file, or takes "-" for a name."""
    if unknown := unknown_parameters(command):
        return unknown
    faults = []
    for output in filter(is_new, command.files):
        faults += _input_faults(workplace, command, output)
        faults += _existing_faults(workplace, command, output)
        if output.example == NEW_FILE:
            faults += _stdout_faults(workplace, command, output)
    return faults


def _input_faults(workplace: Workplace, command: Command, output: Parameter) -> list[str]:
    """Every input of the command, also through links, must be refused as its output."""
    faults = []
    inputs = [each for each in command.files if not is_new(each)]
    before = workplace.hashes()
    for each in inputs:
        target = workplace.folder / str(each.example)
        spellings = [target, workplace.folder / "symbolic"]
        (workplace.folder / "symbolic").symlink_to(target)
        if target.is_file():
            (workplace.folder / "hard").hardlink_to(target)
            spellings.append(workplace.folder / "hard")
        elif (target / "config.toml").is_file():
            spellings.append(target / "config.toml")
        for spelling in spellings:
            for options in ((), ("--overwrite",))[: 1 + command.overwrites]:
                values = {each.name: str(each.example), output.name: str(spelling)}
                result, _ = workplace.call(command, values, *options)
                if result.code in (0, 1):
                    faults.append(f"{command.name} {output.name}: {each.name} is not refused")
        for link in ("symbolic", "hard"):
            (workplace.folder / link).unlink(missing_ok=True)
        if workplace.hashes() != before:
            faults.append(f"{command.name} {output.name}: {each.name} is overwritten")
            return faults
    return faults


def _existing_faults(workplace: Workplace, command: Command, output: Parameter) -> list[str]:
    """Another file of the user's stays without --overwrite, and is replaced as a whole with it."""
    name = f"{command.name} {output.name}"
    precious = workplace.folder / "precious"
    if output.example == NEW_FOLDER:
        precious.mkdir()
    file = precious / "file" if output.example == NEW_FOLDER else precious
    file.write_text("precious")
    faults = []
    values = {output.name: "precious"}
    if workplace.call(command, values)[0].code in (0, 1) or file.read_text() != "precious":
        faults.append(f"{name}: an existing file is not refused")
    if output.example == NEW_FILE and not command.overwrites:
        faults.append(f"{name}: there is no --overwrite")
    elif output.example == NEW_FILE:
        with file.open() as kept:  # its inode number is not given to the new file
            result, _ = workplace.call(command, values, "--overwrite")
            replaced = not os.path.samestat(os.fstat(kept.fileno()), file.stat())
        if result.code or not replaced:
            faults.append(f"{name}: a file is not replaced as a whole: {result.err[-300:]}")
    shutil.rmtree(precious) if precious.is_dir() else precious.unlink()
    return faults


def _stdout_faults(workplace: Workplace, command: Command, output: Parameter) -> list[str]:
    _, expected = workplace.call(command, {output.name: "new"})
    result, written = workplace.call(command, {output.name: "-"})
    found = hashlib.sha256(result.out.encode()).hexdigest()
    if written or result.code or found != expected["new"]:
        return [f"{command.name} {output.name}: - is not standard output: {result.err[-300:]}"]
    return []
