"""`seq2seq describe`: what a store, run or checkpoint contains, or what a preset is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands import options
from cli.terminal.console import write_json, write_line
from seq2seq.errors import CheckpointError

if TYPE_CHECKING:
    from cli.runs.history import SampleLine

PathArgument = Annotated[
    Path,
    typer.Argument(
        metavar="PATH", help="A token store, run directory or checkpoint; or a preset's name."
    ),
]
SamplesOption = Annotated[
    bool,
    typer.Option("--samples", help="Show how a run translated a few sentences at each validation."),
]
VerifyOption = Annotated[
    bool,
    typer.Option("--verify", help="Check every file for damage, by its SHA-256 if it has one."),
]


def describe(
    path: PathArgument,
    json: options.JsonOutput = False,
    samples: SamplesOption = False,
    verify: VerifyOption = False,
) -> None:
    """Show what a store, run, checkpoint or preset contains.

    With --verify it is checked for damage instead; the exit code is 4 if anything is damaged.
    """
    if verify:
        _verify(path, as_json=json)
        return
    from cli.runs import preset
    from cli.terminal import description

    if samples:
        contents, lines = description.of_samples(_samples_of(path))
    elif str(path) in preset.preset_names() and not path.exists():
        contents, lines = description.of_preset(str(path))
    else:
        from cli.runs.contents import contents_of

        contents = contents_of(path)
        lines = description.value_lines(contents)
    if json:
        write_json({"schema_version": 1, **contents})
    else:
        for line in lines:
            write_line(line)


def _samples_of(path: Path) -> "list[SampleLine]":
    """The samples of a run; raises CheckpointError where it has none."""
    from cli.runs.directory import RunDirectory

    samples = RunDirectory.open(path).read_samples()
    if not samples:
        raise CheckpointError(
            f"{path} has no samples yet", hint="they are written at each validation of a training"
        )
    return samples


def _verify(path: Path, *, as_json: bool) -> None:
    """Print each part with its damage as soon as it is known; raises CheckpointError for any."""
    from cli.runs.verification import verify_parts

    parts = []
    for part in verify_parts(path):
        parts.append({"part": part.name, "problem": part.problem})
        if not as_json:
            damage = f"damaged  {part.name}: {part.problem}"
            write_line(damage if part.problem else f"whole    {part.name}")
    if as_json:
        write_json({"schema_version": 1, "kind": "verification", "parts": parts})
    if damaged := sum(part["problem"] is not None for part in parts):
        raise CheckpointError(
            f"{damaged} of {len(parts)} parts of {path} are damaged",
            hint="what is whole can still be used; restore the rest from a copy",
        )
