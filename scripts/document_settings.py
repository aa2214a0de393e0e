"""Writes docs/settings.md: every setting with its default and meaning, and the shipped recipes.

python scripts/document_settings.py
"""

from importlib import resources
from pathlib import Path

from cli.config import SECTIONS, recipe_names

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"


def page() -> str:
    """The page as it should be; a test compares it with the one that is there."""
    lines = [
        "# Settings",
        "",
        "Made by `python scripts/document_settings.py` out of the code that reads them.",
        "",
        "`--set section.name=value` sets any of these: section `data` at `preprocess` and",
        "`check`, `search` at every command that translates, and all but `data` at `train`. Values",
        "are written as in TOML; a plain word needs no quotes.",
    ]
    for section, kind in SECTIONS.items():
        lines += ["", f"## {section}", "", "| setting | default | meaning |", "| --- | --- | --- |"]
        for name, field in kind.model_fields.items():
            default = "not set" if field.default is None else f"`{field.default}`".lower()
            meaning = " ".join((field.description or "").split()).replace("|", "\\|")
            lines.append(f"| `{section}.{name}` | {default} | {meaning} |")
    lines += ["", "## Recipes", "", "What a recipe does not name has its default."]
    for name in recipe_names():
        text = (resources.files("cli") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
        lines += ["", f"### {name}", "", "```toml", text.strip(), "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
