"""The page of settings says what the code does."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_page_is_up_to_date():
    page = runpy.run_path(str(ROOT / "scripts" / "document_settings.py"))["page"]()
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == page
