"""Presets: published models by name, with their equations and what differs from the papers."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import tomli_w

from cli.runs.config import Values, shipped_names
from cli.runs.unknown_names import unknown


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A published model: its equations, and the settings with which this program computes them."""

    name: str
    title: str
    paper: str  # authors (year): title, venue, sections
    equations: str
    model: dict[str, Any]
    """Every setting of its architecture, with states about a quarter as wide as published,
    embeddings of 256 and the fewest layers to which every equation applies."""
    published: dict[str, Any]
    """The published sizes."""
    same: list[str]  # what is as published
    deviations: list[str]  # what is not

    def values(self, *, paper_sizes: bool = False) -> Values:
        """Its settings, in the published sizes or in smaller ones."""
        return {"model": self.model | (self.published if paper_sizes else {})}

    def command(self, *options: str) -> str:
        """The command line that trains it."""
        return " ".join(["seq2seq train STORE RUN --preset", self.name, *options])


def preset_names() -> list[str]:
    return shipped_names("presets")


def read_preset(name: str) -> Preset:
    """A shipped preset; raises ConfigError for an unknown name."""
    if name not in preset_names():
        raise unknown("preset", name, preset_names())
    file = resources.files("cli.runs") / "presets" / f"{name}.toml"
    return Preset(name=name, **tomllib.loads(file.read_text(encoding="utf-8")))


def setting_lines(settings: Mapping[str, Any]) -> list[str]:
    """Settings of section `model` as values of `--set`."""
    return [f"model.{tomli_w.dumps({name: value}).strip()}" for name, value in settings.items()]
