"""The command `describe`: what a store, run or checkpoint holds, or what a preset is."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cli.runs.history import SampleLine
    from cli.runs.preset import Preset

WIDTH = 100  # columns that a preset's prose is wrapped to; its equations are never wider


def describe(
    path: Annotated[
        Path, typer.Argument(help="A token store, run directory or checkpoint, or a preset's name.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    samples: Annotated[
        bool, typer.Option("--samples", help="How a run's samples were translated over time.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Prove every file to be what was written.")
    ] = False,
) -> None:
    """Say what a store, run or checkpoint holds, and verify it; or what a preset is.

    With --verify, exit code 4 where anything of it is damaged.
    """
    from cli.runs.preset import preset_names, read_preset
    from cli.terminal.console import write_json, write_line

    if verify:
        from cli.runs.verification import verify_parts

        verify_parts(path, as_json=json)
        return
    if samples:
        course = _samples(path)
        facts = {"kind": "samples", "samples": [line.values() for line in course]}
        lines = _sample_course(course)
    elif str(path) in preset_names() and not path.exists():
        preset = read_preset(str(path))
        facts, lines = _preset_facts(preset), _preset_lines(preset)
    else:
        from cli.runs.contents import facts_at

        facts = facts_at(path)
        lines = _lines(facts)
    if json:
        write_json({"schema_version": 1, **facts})
    else:
        for line in lines:
            write_line(line)


def _samples(path: Path) -> "list[SampleLine]":
    """What samples.jsonl of a run holds, in order."""
    from cli.runs.directory import RunDirectory
    from seq2seq.errors import CheckpointError

    run = RunDirectory.open(path)
    found = run.read_samples()
    if not found:
        raise CheckpointError(
            f"{path} has no samples yet", hint="they are written at each validation of a training"
        )
    return found


def _sample_course(samples: "list[SampleLine]") -> list[str]:
    """Each sentence with its translation at every validation."""
    lines: list[str] = []
    width = max(len(f"{each.update:,}") for each in samples) + len("update ")
    for number in dict.fromkeys(each.sample.line for each in samples):
        course = [each for each in samples if each.sample.line == number]
        lines += [f"line {number:,} of the validation set"]
        lines += [f"  {'source':{width}}  {course[0].sample.source}"]
        for each in course:
            when = f"update {each.update:>{width - 7},}"
            lines += [f"  {when}  {each.sample.translation}"]
        lines += [f"  {'reference':{width}}  {course[0].sample.reference}", ""]
    return lines[:-1]


def _preset_facts(preset: "Preset") -> dict[str, Any]:
    return {
        "kind": "preset",
        "name": preset.name,
        "title": preset.title,
        "paper": preset.paper,
        "equations": preset.equations,
        "model": preset.model,
        "published": preset.published,
        "same": preset.same,
        "deviations": preset.deviations,
        "command_line": preset.command(),
    }


def _preset_lines(preset: "Preset") -> list[str]:
    from cli.runs.preset import setting_lines

    return [
        preset.title,
        *textwrap.wrap(preset.paper, WIDTH),
        "",
        "equations:",
        *(f"  {line}" for line in preset.equations.splitlines()),
        "",
        "structure, at about a quarter of the published widths:",
        *(f"  {line}" for line in setting_lines(preset.model)),
        "",
        "published sizes, with --paper-sizes:",
        *(f"  {line}" for line in setting_lines(preset.published)),
        "",
        "as published:",
        *_items(preset.same),
        "",
        "not as published:",
        *_items(preset.deviations),
        "",
        "train it:",
        f"  {preset.command()}",
        f"  {preset.command('--paper-sizes')}",
    ]


def _items(texts: list[str]) -> list[str]:
    return [
        line
        for text in texts
        for line in textwrap.wrap(text, WIDTH, initial_indent="  - ", subsequent_indent="    ")
    ]


def _lines(facts: dict[str, Any], indent: int = 0) -> list[str]:
    """Nested facts as indented `name: value` lines."""
    lines = []
    for name, value in facts.items():
        label = " " * indent + name.replace("_", " ")
        if isinstance(value, dict):
            lines += [f"{label}:", *_lines(value, indent + 2)] if value else [f"{label}: none"]
        elif isinstance(value, list | tuple):
            lines.append(f"{label}: {' '.join(map(str, value))}")
        elif isinstance(value, int) and not isinstance(value, bool):
            lines.append(f"{label}: {value:,}" if name != "seed" else f"{label}: {value}")
        else:
            lines.append(f"{label}: {'not set' if value is None else value}")
    return lines
