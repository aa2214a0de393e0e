"""Writes docs/settings.md and docs/presets.md from the code and the preset files.

The first has every setting with its default and meaning, and the shipped recipes; the second every
preset: its paper, its equations, what differs from them, and its settings.

python scripts/document_settings.py
"""

from importlib import resources
from pathlib import Path

from cli.runs.choice import CorpusSize, Use, choose_settings
from cli.runs.config import SECTIONS, recipe_names
from cli.runs.preset import Preset, preset_names, read_preset, setting_lines
from data.preparation.choice import CHOSEN_SETTINGS
from seq2seq.system.attribute_docstrings import attribute_docstrings

DOCS = Path(__file__).parents[1] / "docs"


def page() -> str:
    """The page as it should be; a test compares it with the one that is there."""
    lines = [
        "# Settings",
        "",
        "Made by `python scripts/document_settings.py` out of the code that reads them.",
        "",
        "`--set section.name=value` sets any of these: section `data` at `preprocess` and",
        "`check`, `search` at every command that translates, and all but `data` at `train`. Values",
        "are written as in TOML; a plain word needs no quotes. A default of “chosen” is a function",
        "of the [corpus](training-data.md#what-preprocess-chooses).",
        "",
        "Without `--recipe` and `--preset`, `train` [chooses by the corpus](training.md#settings)",
        "these; the defaults below are then those of the others:",
        *(f"* `{section}`: {', '.join(names)}" for section, names in chosen_settings().items()),
    ]
    for section, model in SECTIONS.items():
        lines += ["", f"## {section}", "", "| setting | default | meaning |", "| --- | --- | --- |"]
        meanings = attribute_docstrings(model)
        for name, field in model.model_fields.items():
            default = "not set" if field.default is None else f"`{field.default}`".lower()
            if section == "data" and name in CHOSEN_SETTINGS:
                default = "chosen"
            meaning = " ".join(meanings[name].split()).replace("|", "\\|")
            lines.append(f"| `{section}.{name}` | {default} | {meaning} |")
    lines += ["", "## Recipes", "", "What a recipe does not name has its default."]
    for name in recipe_names():
        text = (resources.files("cli.runs") / "recipes" / f"{name}.toml").read_text(
            encoding="utf-8"
        )
        lines += ["", f"### {name}", "", "```toml", text.strip(), "```"]
    return "\n".join(lines) + "\n"


def chosen_settings() -> dict[str, list[str]]:
    """The settings of each section that `train` chooses by the corpus, where nothing is given."""
    size = CorpusSize(pairs=30_000, target_tokens=430_000, joint=True)
    chosen = choose_settings(size, minutes=None, use=Use()).settings
    return {section: list(values) for section, values in chosen.items()}


def presets_page() -> str:
    """The page of presets as it should be; a test compares it with the one that is there."""
    lines = [
        "# Presets",
        "",
        "Made by `python scripts/document_settings.py` out of the files in `cli/runs/presets`.",
        "",
        "A preset is a published model by name, with the settings that make its equations hold:",
        "",
        "```sh",
        "seq2seq describe bahdanau2015   # prints its section of this page",
        "seq2seq train store run --preset bahdanau2015",
        "seq2seq train store run --preset bahdanau2015 --paper-sizes --set model.dropout=0.2",
        "```",
        "",
        "It sets the whole model, with states about a quarter as wide as published and just enough",
        "layers that every equation has an effect; `--paper-sizes` sets the sizes as published. It",
        "overrides the recipe, which says how to train; `--set` and other options override both.",
        "Each preset lists what is as published and what is not, including what the authors' code",
        "does differently.",
        "",
        "In the equations, `[a ; b]` joins, `o` multiplies element by element, `sig` is the",
        "logistic sigmoid, `E` an embedding, `x` the source, `y` the target, `h_j` memory, `s_t`",
        "the decoder's state, `e` scores, `a` weights, `c_t` the context.",
        "",
        "| preset | | published |",
        "| --- | --- | --- |",
    ]
    presets = [read_preset(name) for name in preset_names()]
    for preset in presets:
        sizes = ", ".join(
            f"{name.replace('_', ' ')} {value}" for name, value in preset.published.items()
        )
        lines.append(f"| [`{preset.name}`](#{preset.name}) | {preset.title} | {sizes} |")
    for preset in presets:
        lines += _preset_section(preset)
    return "\n".join(lines) + "\n"


def _preset_section(preset: Preset) -> list[str]:
    return [
        *("", f"## {preset.name}", "", f"{preset.title}.", "", f"{preset.paper}."),
        *("", "```text", preset.equations.rstrip(), "```"),
        *("", "As published:", "", *(f"- {_plain(text)}" for text in preset.same)),
        *("", "Not as published:", "", *(f"- {_plain(text)}" for text in preset.deviations)),
        *("", "```text", *setting_lines(preset.model), "```"),
        *("", "With `--paper-sizes`:", "", "```text", *setting_lines(preset.published), "```"),
    ]


def _plain(text: str) -> str:
    """Prose in which Markdown finds nothing to act on."""
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return text


if __name__ == "__main__":
    DOCS.mkdir(exist_ok=True)
    (DOCS / "settings.md").write_text(page(), encoding="utf-8")
    (DOCS / "presets.md").write_text(presets_page(), encoding="utf-8")
