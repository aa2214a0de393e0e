"""The systems of a comparison: the combinations of given values that may make a difference."""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cli.runs.config import RunConfig, Values, merge, parse_settings
from data.inputs import display_name, read_text
from seq2seq.config import ModelConfig
from seq2seq.errors import ConfigError
from seq2seq.system.files import parse_toml

MAIN_STORE = "main"
"""The name of the store that the command line gives."""

Dimension = tuple[str, tuple[str, ...]]
"""The name of a setting and its values, as they are typed."""


class TrialEntry(BaseModel):
    """A [[trial]] of a grid file: settings that do not fit into a product."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str
    why: str = ""
    settings: tuple[str, ...] = Field(default=(), alias="set")
    store: str = MAIN_STORE


@dataclass(frozen=True)
class Candidate:
    """A point of the grid, before it is known whether its settings fit together."""

    entry: TrialEntry
    base: tuple[str, ...]  # "section.name=value"
    options: tuple[str, ...]
    chosen: tuple[tuple[str, str], ...]  # name and value of each dimension

    @property
    def settings(self) -> tuple[str, ...]:
        """Everything that is set, as it is typed after --set; a later one wins."""
        chosen = (f"{name}={value}" for name, value in self.chosen)
        return (*self.base, *self.entry.settings, *self.options, *chosen)

    @property
    def values(self) -> Values:
        return merge(parse_settings(self.settings))

    def name(self, unused: Collection[str] = ()) -> str:
        """Its values, for example "luong dot heads=4", without those of settings in `unused`."""
        labels = [_label(name, value) for name, value in self.chosen if name not in unused]
        return " ".join(filter(None, [self.entry.name, *labels])) or "default"


class StoreFiles(BaseModel):
    """A token store of a grid file, with the test set of its language pair."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    path: Path
    test: tuple[Path, Path] | None = None  # source and reference
    reference_links: Path | None = Field(default=None, alias="gold")


class GridFile(BaseModel):
    """A grid that was read from a TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    title: str = ""
    note: str = ""
    recipe: str | None = None
    settings: tuple[str, ...] = Field(default=(), alias="set")
    grid: dict[str, tuple[Any, ...]] = {}
    trial: tuple[TrialEntry, ...] = ()
    seeds: tuple[int, ...] | None = None
    stores: dict[str, StoreFiles] = {}


@dataclass(frozen=True)
class Grid:
    """The systems that the command line and the grid file ask for."""

    base: tuple[str, ...] = ()  # settings of every system, by the file
    options: tuple[str, ...] = ()  # settings of every system, by the command line, which win
    dimensions: tuple[Dimension, ...] = ()
    entries: tuple[TrialEntry, ...] = ()
    recipe: str | None = None
    seeds: tuple[int, ...] = (1,)
    stores: Mapping[str, StoreFiles] = field(default_factory=dict)

    def candidates(self) -> Iterator[Candidate]:
        """Every point of the grid, in the order of its dimensions, the last one fastest."""
        entries = self.entries or (TrialEntry(name=""),)
        names = [name for name, _ in self.dimensions]
        for entry in entries:
            for values in itertools.product(*(values for _, values in self.dimensions)):
                yield Candidate(
                    entry, self.base, self.options, tuple(zip(names, values, strict=True))
                )


def read_grid(path: Path) -> GridFile:
    """Raises ConfigError for a file that is no grid. Paths in it are relative to its folder."""
    name = display_name(path)
    try:
        found = GridFile.model_validate(parse_toml(read_text(path)))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name} cannot be read: {error}", hint="give a TOML file") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise ConfigError(
            f"{name}: {where}: {problem['msg']}",
            hint="docs/compare.md describes a grid file",
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"{name} is not valid TOML: {error}", hint="see docs/compare.md"
        ) from error
    folder = path.parent if path.is_file() else Path()
    stores = {name: _below(folder, files) for name, files in found.stores.items()}
    names = [entry.name for entry in found.trial]
    for entry in found.trial:
        if names.count(entry.name) > 1:
            raise ConfigError(
                f"{name}: two trials are called {entry.name!r}",
                hint="give each [[trial]] a name of its own",
            )
        if entry.store not in (MAIN_STORE, *found.stores):
            raise ConfigError(
                f"{name}: trial {entry.name!r} names store {entry.store!r}, which is not there",
                hint=f"add [stores.{entry.store}] with its path",
            )
    if MAIN_STORE in stores:
        raise ConfigError(
            f"{name}: store {MAIN_STORE!r} is the STORE of the command",
            hint="give the one in [stores] another name",
        )
    return found.model_copy(update={"stores": stores})


def build_grid(
    file: GridFile | None,
    *,
    attention: str | None,
    score: str | None,
    settings: Sequence[str],
    recipe: str | None,
    seeds: int | None,
) -> Grid:
    """The grid of a command line, on top of that of a file. Raises ConfigError.

    attention, score: values with commas between them
    settings: "section.name=value", or with several values "section.name=value,value"
    """
    file = file or GridFile()
    options, dimensions = list[str](), dict[str, tuple[str, ...]]()
    for name, values in file.grid.items():
        dimensions[name] = tuple(map(_typed, values))
    given = [
        *([f"model.attention={attention}"] if attention else []),
        *([f"model.score={score}"] if score else []),
        *settings,
    ]
    for option in given:
        name, equals, text = option.partition("=")
        typed = split_values(text)
        if equals and len(typed) > 1:
            dimensions[name.strip()] = tuple(typed)
        else:
            dimensions.pop(name.strip(), None)
            options.append(option)
    for name, several in dimensions.items():
        if not several or not all(several) or len({*several}) < len(several):
            raise ConfigError(
                f"{name} has the values {','.join(several) or 'none'}",
                hint="give each value once, with a comma between two of them",
            )
        parse_settings([f"{name}={value}" for value in several])  # raises for an unknown name
    chosen = tuple(range(1, seeds + 1)) if seeds else tuple(dict.fromkeys(file.seeds or (1,)))
    return Grid(
        base=file.settings,
        options=tuple(options),
        dimensions=tuple(dimensions.items()),
        entries=file.trial,
        recipe=recipe or file.recipe,
        seeds=chosen,
        stores=file.stores,
    )


def split_values(text: str) -> list[str]:
    """Values between commas; a comma inside quotes, brackets or braces separates nothing."""
    values, depth, quote, begin = list[str](), 0, "", 0
    for position, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character == "," and not depth:
            values.append(text[begin:position].strip())
            begin = position + 1
    return [*values, text[begin:].strip()]


def unused_settings(model: ModelConfig) -> dict[str, str]:
    """Settings of the model that change nothing, each with the reason."""
    found: dict[str, str] = {}

    def unused(reason: str, *names: str) -> None:
        found.update(dict.fromkeys(names, reason))

    if model.attention == "none":
        unused(
            "without attention",
            *("score", "attention_size", "location_positions", "window", "attend_eos"),
            *("coverage_size", "project_values", "query_layer", "feedback"),
            *("scope", "normalizer", "heads", "projections", "coverage", "attention_dropout"),
            *("context_dropout", "context_to_upper", "input_feeding", "readout_state"),
        )
        return found
    unused(f"with attention {model.attention}", "context")
    if model.scope == "global":
        unused("with scope global", "window")
    if model.coverage != "gru":
        unused(f"with coverage {model.coverage}", "coverage_size")
    if model.score != "location":
        unused(f"with score {model.score}", "location_positions")
    sized = model.score in ("additive", "concat", "concat_fixed") or model.uses_projections
    if not sized and model.scope != "local_p":
        unused(f"with score {model.score}", "attention_size")
    return found


def effective(config: RunConfig) -> str:
    """Equal for two configurations that train the same model in the same way."""
    model = config.model.model_dump()
    for name in unused_settings(config.model):
        model.pop(name)
    return repr((model, config.training.model_dump(), config.search.model_dump()))


def slug(name: str) -> str:
    """A name as part of a path: letters, digits and single hyphens."""
    return re.sub(r"[^\w.]+", "-", name).strip("-.") or "system"


def _below(folder: Path, files: StoreFiles) -> StoreFiles:
    test = files.test and (folder / files.test[0], folder / files.test[1])
    reference_links = files.reference_links and folder / files.reference_links
    return StoreFiles(path=folder / files.path, test=test, reference_links=reference_links)


def _label(name: str, value: str) -> str:
    """Attention and score by their values; any other setting by its name and value."""
    if name in ("model.attention", "model.score"):
        return value
    return f"{name.partition('.')[2]}={value}"


def _typed(value: Any) -> str:
    """A value of TOML as it is typed after --set."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_typed, value)) + "]"
    return str(value)
