"""Settings: recipes, TOML files and --set options become one frozen, checked RunConfig."""

from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from cli.runs.unknown_names import unknown
from data.config import DataConfig
from data.inputs import STDIN, display_name, read_text
from seq2seq.config import ModelConfig, SearchConfig, TrainingConfig, guidance_problems
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.system.attribute_docstrings import attribute_docstrings
from seq2seq.system.files import parse_toml


class RunConfig(BaseModel):
    """All settings of a run, in four sections."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    search: SearchConfig = SearchConfig()


SECTIONS: dict[str, type[BaseModel]] = {
    "data": DataConfig,
    "model": ModelConfig,
    "training": TrainingConfig,
    "search": SearchConfig,
}
Values = dict[str, dict[str, Any]]  # section -> name -> value

RENAMED = {
    "model.attend_end": "attend_eos",
    "model.fed": "feedback",
    "model.read_end": "encode_eos",
    "model.state_dropout": "recurrent_dropout",
}
"""The names of settings before version 0.2, which are still accepted, and their names now."""

SAMPLING = ("temperature", "top_k", "top_p", "seed")
"""The settings of section `search` that only samples depend on."""

REMOVED = {"training.r_drop": 0.0}
"""Settings of earlier versions that no longer exist, with the value that turned them off."""

Note: TypeAlias = Callable[[str], None]
"""Is given a line for each setting that has another name now."""


def ignore(message: str) -> None:
    """Stands for a caller that wants no messages."""


def shipped_names(folder: str) -> list[str]:
    """The names of the TOML files in a folder of this package, without their ending."""
    files = (resources.files("cli.runs") / folder).iterdir()
    return sorted(f.name.removesuffix(".toml") for f in files if f.name[-5:] == ".toml")


def recipe_names() -> list[str]:
    return shipped_names("recipes")


def read_recipe(name: str, note: Note = ignore) -> Values:
    """The settings of a shipped recipe, by its name, or of a TOML file, by its path."""
    if name in recipe_names():
        text = (resources.files("cli.runs") / "recipes" / f"{name}.toml").read_text(
            encoding="utf-8"
        )
    elif name == str(STDIN) or name.endswith(".toml") or "/" in name:
        try:
            text = read_text(Path(name))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{display_name(Path(name))} cannot be read: {error}",
                hint=f"give the path of a TOML file, or a recipe: {', '.join(recipe_names())}",
            ) from error
    else:
        raise unknown("recipe", name, recipe_names())
    return _checked_sections(_parse(text, where=name), where=name, note=note)


def parse_settings(settings: Sequence[str], note: Note = ignore) -> Values:
    """Settings such as "model.dropout=0.1" by section; values are TOML, or else plain strings."""
    values: Values = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        section, dot, name = key.strip().partition(".")
        if equals and not dot:
            raise unknown("setting in --set", section, _setting_names())
        if not equals:
            raise ConfigError(
                f"--set {setting!r} is not section.name=value",
                hint="for example --set training.learning_rate=1e-3",
            )
        values.setdefault(section, {})[name] = toml_value(text.strip())
    return _checked_sections(values, where="--set", note=note)


def section_settings(
    settings: Sequence[str] | None, section: str, note: Note = ignore
) -> dict[str, Any]:
    """`parse_settings` for a command that takes one section; raises ConfigError for another."""
    values = parse_settings(settings or [], note)
    for other in values:
        if other != section:
            raise ConfigError(
                f"{other}.* cannot be set here", hint=f"this command takes {section}.* settings"
            )
    return values.get(section, {})


def data_config(settings: Sequence[str] | None, note: Note = ignore) -> DataConfig:
    """Section `data` with the --set options of a command that takes no other section."""
    config: DataConfig = build_section("data", section_settings(settings, "data", note))
    return config


def search_settings(
    settings: Sequence[str] | None, *, run: Path, note: Note = ignore, **options: object
) -> dict[str, Any]:
    """The search settings given on a command line, by --set and by options of their own, which win.

    run: to translate with, whose settings hold where none are given
    options: by the name of the setting; None for an option that was not given

    Raises ConfigError for settings of sampling where neither these nor those of the run sample.
    """
    given = {name: value for name, value in options.items() if value is not None}
    found = section_settings(settings, "search", note) | given
    if not found.keys().isdisjoint(SAMPLING):
        require_sampling({"sample": load_config(run / "config.toml").search.sample} | found)
    return found


def require_sampling(search: Mapping[str, Any]) -> None:
    """Raises ConfigError for settings of sampling among those given, if nothing is sampled."""
    for name in SAMPLING:
        if name in search and not search.get("sample"):
            raise ConfigError(
                f"search.{name} has an effect on samples alone",
                hint="set search.sample=true too (`translate --sample`), or leave it out",
            )


def merge(*layers: Mapping[str, Mapping[str, Any]]) -> Values:
    """One layer of settings out of several; a later one wins."""
    merged: Values = {section: {} for section in SECTIONS}
    for layer in layers:
        for section, values in layer.items():
            merged[section] |= values
    return merged


def resolve(*layers: Mapping[str, Mapping[str, Any]]) -> RunConfig:
    """Merge layers over the defaults; raises ConfigError for a bad value."""
    merged = merge(*layers)
    config = RunConfig(**{name: build_section(name, merged[name]) for name in SECTIONS})
    for problem in guidance_problems(config.model, config.training):
        raise problem
    return config


def build_section(section: str, values: Mapping[str, Any]) -> Any:
    """A section from plain values; raises ConfigError, with the meaning of the setting as hint."""
    try:
        return SECTIONS[section](**values)
    except ValidationError as error:
        name = ".".join(map(str, error.errors()[0]["loc"]))
        meaning = attribute_docstrings(SECTIONS[section]).get(name.split(".")[0])
        raise ConfigError(
            _refusal(f"{section}.{name}", error),
            hint=f"{section}.{name}: {_one_line(meaning)}" if meaning else None,
        ) from error


def checked_n_best(count: object) -> int:
    """Translations of each line: as many as search.beam may be. Raises ConfigError for others."""
    try:
        return SearchConfig.model_validate({"beam": count}).beam
    except ValidationError as error:
        raise ConfigError(
            _refusal("n-best", error),
            hint="n-best: translations to print for each line; the beam is made at least as wide",
        ) from error


def load_config(path: Path) -> RunConfig:
    """The resolved configuration of a run; raises CheckpointError when it is damaged."""
    try:
        values = _parse(path.read_text(encoding="utf-8"), where=str(path))
        for name in REMOVED:
            section, _, key = name.partition(".")
            if isinstance(values.get(section), dict):
                values[section].pop(key, None)
        return resolve(_checked_sections(values, where=str(path)))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path.parent} is not a run directory: it has no {path.name}",
            hint="create one with `seq2seq train`",
        ) from error
    except (ConfigError, OSError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path} is damaged: {error}", hint="restore it, or train again"
        ) from error


def dump_config(config: RunConfig) -> str:
    """TOML with every setting below its meaning; `load_config` returns an equal config."""
    lines = ["# The resolved configuration of this run, with every setting."]
    for section, section_type in SECTIONS.items():
        lines += ["", f"[{section}]"]
        values = getattr(config, section)
        meanings = attribute_docstrings(section_type)
        for name in section_type.model_fields:
            lines += [f"# {line}" for line in meanings.get(name, "").splitlines()]
            value = getattr(values, name)
            lines.append(f"# {name} is not set" if value is None else _toml_line(name, value))
    return "\n".join(lines) + "\n"


def _toml_line(name: str, value: Any) -> str:
    """A setting on one line. A table is written inline, so that it does not end the section."""
    if isinstance(value, dict):
        inner = ", ".join(tomli_w.dumps({key: each}).strip() for key, each in value.items())
        return f"{name} = {{{inner}}}"
    return tomli_w.dumps({name: value}).strip()


def _parse(text: str, *, where: str) -> dict[str, Any]:
    try:
        return parse_toml(text)
    except ValueError as error:
        raise ConfigError(
            f"{where} is not valid TOML: {error}",
            hint="write sections as [training] and settings as learning_rate = 1e-3",
        ) from error


def removed_settings(path: Path) -> list[str]:
    """The settings in a run's config.toml that have an effect but no longer exist."""
    values = _parse(path.read_text(encoding="utf-8"), where=str(path))
    found = []
    for name, off in REMOVED.items():
        section, _, key = name.partition(".")
        if values.get(section, {}).get(key, off) != off:
            found.append(name)
    return found


def _checked_sections(values: Mapping[str, Any], *, where: str, note: Note = ignore) -> Values:
    """The values under the present names of their settings; raises ConfigError for unknown ones."""
    checked: Values = {}
    for section, settings in values.items():
        if section not in SECTIONS:
            raise unknown(f"section in {where}", section, list(SECTIONS))
        if not isinstance(settings, dict):
            raise ConfigError(
                f"{where}: {section} is a section, not a value",
                hint=f"write [{section}] on a line of its own, and its settings below it",
            )
        checked[section] = {}
        for old, value in settings.items():
            name = RENAMED.get(f"{section}.{old}", old)
            if name != old:
                note(f"{where}: {section}.{old} is called {section}.{name} now")
            if f"{section}.{name}" in REMOVED:
                raise ConfigError(
                    f"{where}: {section}.{name} no longer exists",
                    hint="leave it out; CHANGELOG.md says why it was removed",
                )
            if name not in SECTIONS[section].model_fields:
                raise unknown(f"setting in {where}", f"{section}.{name}", _setting_names())
            checked[section][name] = value
    return checked


def _setting_names() -> list[str]:
    """Such as "model.dropout"."""
    return [f"{section}.{name}" for section, t in SECTIONS.items() for name in t.model_fields]


def toml_value(text: str) -> Any:
    """The value of a setting as it is typed: TOML, or else a plain string."""
    try:
        return parse_toml(f"value = {text}")["value"]
    except ValueError:
        return text


def _refusal(name: str, error: ValidationError) -> str:
    problem = error.errors()[0]
    return f"{name} is {problem['input']!r}: {_uncapitalized(problem['msg'])}"


def _uncapitalized(message: str) -> str:
    return message[:1].lower() + message[1:]


def _one_line(text: str) -> str:
    return " ".join(text.split())
