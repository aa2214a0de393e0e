"""The prompt of `translate --interactive`, typed at through a pseudo-terminal."""

import os
import pty
import re
import select
import signal
import time

import pytest
from program import ENVIRONMENT, PROGRAM, call

SLOW = "red dog sees the small cat " * 60  # at a wide beam, seconds of search


class Typist:
    """The program at a terminal of its own."""

    def __init__(self, *arguments, home):
        self.seen, self._read = "", 0
        environment = ENVIRONMENT | {
            "TERM": "xterm",
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "XDG_STATE_HOME": str(home),
            "PYTHONWARNINGS": "default",
        }
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.execve(PROGRAM, ["seq2seq", *map(str, arguments)], environment)

    def type(self, text, *, end="\r"):
        self._read = len(self.seen)
        os.write(self._terminal, (text + end).encode())

    def until(self, expected, *, seconds=15):
        """Everything since the last line typed, once a pattern is in it; without escape codes."""
        deadline = time.monotonic() + seconds
        while not re.search(expected, self.seen[self._read :]):
            assert time.monotonic() < deadline, f"no {expected!r} in {self.seen!r}"
            if select.select([self._terminal], [], [], 0.1)[0]:
                data = os.read(self._terminal, 4096).decode(errors="replace")
                self.seen += re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", data)
        return self.seen[self._read :]

    def code(self):
        """The exit code, once the program has ended."""
        while True:
            try:
                self.seen += os.read(self._terminal, 4096).decode(errors="replace")
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture(scope="module")
def typist(run, tmp_path_factory):
    home = tmp_path_factory.mktemp("state")
    typist = Typist("translate", run, "--interactive", "--threads", 1, home=home)
    typist.until("type a sentence, or /help")
    typist.until("\n>")
    yield typist
    typist.type("/quit")
    assert typist.code() == 0, typist.seen


def test_a_message_says_what_is_missing(typist):
    typist.type("/force god der")
    typist.until("there is no sentence yet: type one")
    typist.type("red dog")
    typist.until(r"\n[a-z ]+\r\n")
    typist.type("/force")
    assert "sentence first" not in typist.until("/force needs a translation of the last sentence")
    typist.type("/force der god")
    typist.until("log-probability")


BOUNDS = {
    "beam 0": ("--beam=0", "search.beam is 0: input should be greater than or equal to 1"),
    "beam 99999": ("--beam=99999", "search.beam is 99999: input should be less than or equal to"),
    "n-best 0": ("--n-best=0", "n-best is 0: input should be greater than or equal to 1"),
    "n-best 99999": ("--n-best=99999", "n-best is 99999: input should be less than or equal to"),
}


@pytest.mark.parametrize("typed", BOUNDS)
def test_a_value_has_the_bounds_of_its_option_and_its_message(typist, run, typed):
    option, message = BOUNDS[typed]
    typist.type(f"/{typed}")
    typist.until(re.escape(message))
    refused = call("translate", run, option, stdin=b"")
    assert refused.code == 2 and message in refused.err
    typist.type(f"/{typed.split()[0]}")
    typist.until(r"\r\n(beam 5|n-best 1)\r\n")  # unchanged


def test_a_value_that_is_no_number_is_refused(typist):
    for name in ("beam", "n-best"):
        typist.type(f"/{name} many")
        typist.until(f"{name} is 'many': input should be a valid integer")


def test_a_drawing_has_the_style_that_was_chosen(typist):
    typist.type("/style spiral")
    typist.until("/style takes auto, grid, compact, half, values, list")
    typist.type("/style list")
    typist.until(r"\nstyle list\r")
    typist.type("red dog")
    typist.until(r"\n[a-z ]+\r\n")
    typist.type("/force der god")
    typist.until(r" ← .* 0\.\d\d ▇")
    typist.type("/style")
    typist.until(r"\nstyle list\r")


def test_ctrl_c_ends_the_search_and_comes_back_to_the_prompt(typist):
    typist.type("/beam 1000")
    typist.until(r"\nbeam 1000")
    typist.type(SLOW)
    time.sleep(1)
    begin = time.monotonic()
    os.kill(typist.pid, signal.SIGINT)
    typist.until("interrupted; /quit or Ctrl-D leaves")
    assert time.monotonic() - begin < 5
    typist.type("/beam 5")
    typist.until(r"\nbeam 5\r")
    typist.type("red dog")
    typist.until(r"\n[a-z ]+\r\n")


def test_ctrl_c_clears_a_line_that_is_half_typed(typist):
    typist.type("/nonsen", end="\x03")
    typist.type("/beam")
    assert "unknown" not in typist.until(r"\nbeam 5")
