"""Descriptions of presets, of the samples of a run, and of nested values, as lines of text."""

import textwrap
from typing import TYPE_CHECKING, Any

from cli.runs.preset import Preset, read_preset, setting_lines

if TYPE_CHECKING:
    from cli.runs.history import SampleLine

WIDTH = 100  # columns that a preset's prose is wrapped to; its equations are never wider

Description = tuple[dict[str, Any], list[str]]
"""Facts as JSON values and as lines of text."""


def of_preset(name: str) -> Description:
    preset = read_preset(name)
    return _preset_json(preset), _preset_lines(preset)


def of_samples(samples: "list[SampleLine]") -> Description:
    """The samples of a run: validation sentences, each with its translation at every validation."""
    values = [sample.values() for sample in samples]
    return {"kind": "samples", "samples": values}, _sample_lines(samples)


def value_lines(values: dict[str, Any], indent: int = 0) -> list[str]:
    """Nested values as indented `name: value` lines."""
    lines = []
    for name, value in values.items():
        label = " " * indent + name.replace("_", " ")
        if isinstance(value, dict):
            nested = value_lines(value, indent + 2)
            lines += [f"{label}:", *nested] if value else [f"{label}: none"]
        elif isinstance(value, list | tuple):
            lines.append(f"{label}: {' '.join(map(str, value))}")
        elif isinstance(value, int) and not isinstance(value, bool):
            lines.append(f"{label}: {value:,}" if name != "seed" else f"{label}: {value}")
        else:
            lines.append(f"{label}: {'not set' if value is None else value}")
    return lines


def _sample_lines(samples: "list[SampleLine]") -> list[str]:
    lines: list[str] = []
    width = max(len(f"{each.update:,}") for each in samples) + len("update ")
    for number in dict.fromkeys(each.sample.line for each in samples):
        versions = [each for each in samples if each.sample.line == number]
        lines += [f"line {number:,} of the validation set"]
        lines += [f"  {'source':{width}}  {versions[0].sample.source}"]
        for version in versions:
            update = f"update {version.update:>{width - 7},}"
            lines += [f"  {update}  {version.sample.translation}"]
        lines += [f"  {'reference':{width}}  {versions[0].sample.reference}", ""]
    return lines[:-1]


def _preset_json(preset: Preset) -> dict[str, Any]:
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


def _preset_lines(preset: Preset) -> list[str]:
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
        *_list_items(preset.same),
        "",
        "not as published:",
        *_list_items(preset.deviations),
        "",
        "train it:",
        f"  {preset.command()}",
        f"  {preset.command('--paper-sizes')}",
    ]


def _list_items(texts: list[str]) -> list[str]:
    return [
        line
        for text in texts
        for line in textwrap.wrap(text, WIDTH, initial_indent="  - ", subsequent_indent="    ")
    ]
