"""Presets: published models by name, each with its equations and what still differs from them."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import tomli_w

from cli.runs.config import Values, shipped_names, unknown


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A published model: the settings that make its equations hold, and what is known of it."""

    name: str
    title: str
    paper: str  # authors (year): title, venue, sections
    equations: str
    model: dict[str, Any]
    """Its structure, complete and at a quarter of its widths, with just enough layers for every
    equation to be at work."""
    published: dict[str, Any]
    """Its sizes as published."""
    same: list[str]
    deviations: list[str]

    def values(self, *, paper_sizes: bool = False) -> Values:
        """What it sets, as a layer of settings."""
        return {"model": self.model | (self.published if paper_sizes else {})}

    def command(self, *options: str) -> str:
        """How it is trained."""
        return " ".join(["seq2seq train STORE RUN --preset", self.name, *options])


def preset_names() -> list[str]:
    return shipped_names("presets")


def read_preset(name: str) -> Preset:
    """A shipped preset; raises ConfigError for a name that there is not."""
    if name not in preset_names():
        raise unknown("preset", name, preset_names())
    file = resources.files("cli.runs") / "presets" / f"{name}.toml"
    return Preset(name=name, **tomllib.loads(file.read_text(encoding="utf-8")))


def setting_lines(settings: Mapping[str, Any]) -> list[str]:
    """Settings of a model as `--set` takes them, in TOML."""
    return [f"model.{tomli_w.dumps({name: value}).strip()}" for name, value in settings.items()]
