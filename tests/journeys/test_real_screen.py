"""Drawings on a real screen: tmux says where its cursor is after each span of a line."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

WIDTH = 80
SCRIPT = Path(__file__).parents[1] / "support" / "draw_on_screen.py"
TMUX = shutil.which("tmux")


@pytest.fixture(scope="module")
def printed(tmp_path_factory) -> list[dict[str, object]]:
    """The lines of drawings of all scripts and styles, with the columns where their spans end."""
    if TMUX is None:
        pytest.skip("tmux is not installed")
    folder = tmp_path_factory.mktemp("screen")
    socket, result = folder / "socket", folder / "result.json"
    command = [TMUX, "-u", "-S", str(socket), "-f", "/dev/null"]
    subprocess.run(
        [
            *command,
            *("new-session", "-d", "-x", str(WIDTH), "-y", "50"),
            *(sys.executable, str(SCRIPT), str(result), str(WIDTH)),
        ],
        check=True,
        timeout=30,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"},
    )
    deadline = time.monotonic() + 60
    while not result.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    subprocess.run([*command, "kill-server"], capture_output=True, timeout=30)
    assert result.exists(), "the program in tmux did not end"
    return json.loads(result.read_text(encoding="utf-8"))


def test_every_cell_of_a_map_is_where_it_should_be(printed):
    cells = [span for line in printed for span in line["spans"] if span["is_cell"]]
    assert len(cells) > 250
    misplaced = [span for span in cells if span["column"] != span["expected"]]
    assert not misplaced


def test_no_line_is_wrapped(printed):
    assert len(printed) > 200
    assert not [line for line in printed if line["rows"] != 0]
