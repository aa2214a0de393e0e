"""The prompt of `translate`, typed at through a pseudo-terminal."""

import json
import os
import pty
import re
import select
import shutil
import signal
import stat
import time

import pytest
from program import ENVIRONMENT, PROGRAM, call

SLOW = "red dog sees the small cat " * 60  # at a wide beam, seconds of search


class Typist:
    """The program at a terminal of its own."""

    def __init__(self, *arguments, home):
        self.seen, self.raw, self._read = "", "", 0
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
        self._read, self.raw = len(self.seen), ""
        os.write(self._terminal, (text + end).encode())

    def until(self, expected, *, seconds=15):
        """Everything since the last line typed, once a pattern is in it; without escape codes,
        which are in `raw`."""
        deadline = time.monotonic() + seconds
        while not re.search(expected, self.seen[self._read :]):
            assert time.monotonic() < deadline, f"no {expected!r} in {self.seen!r}"
            if select.select([self._terminal], [], [], 0.1)[0]:
                data = os.read(self._terminal, 4096).decode(errors="replace")
                self.raw += data
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


DIM = "\x1b[2m"
CTRL_C, CTRL_D, F2, TAB = "\x03", "\x04", "\x1bOQ", "\t"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def typist(run, home):
    typist = Typist("translate", run, "--threads", 1, home=home)
    typist.until(r"run: lstm, luong, en-xx, update \d+: BLEU \d+\.\d, chrF \d+\.\d; float32\r\n")
    typist.until("type a sentence, or /help")
    typist.until("\n>")
    yield typist
    typist.type(CTRL_D, end="")
    assert typist.code() == 0, typist.seen


def translate(typist, line):
    """Type a sentence; returns its translation, which is not the line's own echo."""
    typist.type(line)
    answer = rf"\n(?!{line}\r)([a-z ]+)\r\n"
    return re.search(answer, typist.until(answer))[1]


def test_a_message_says_what_is_missing(typist):
    for command in ("/force god der", "/prefix god", "/score god", "/tokens"):
        typist.type(command)
        typist.until(r"there is no sentence yet \(type one first\)")
    typist.type("red dog")
    typist.until(r"\n[a-z ]+\r\n")
    typist.type("/force")
    assert "sentence first" not in typist.until("/force needs a translation of the last sentence")
    typist.type("/force der god")
    typist.until("log-probability")


BOUNDS = {
    "penalty -1": (
        "--set=search.length_penalty=-1",
        "search.length_penalty is -1: input should be greater than or equal to 0",
    ),
    "set search.beem=3": ("--set=search.beem=3", "unknown setting in --set: search.beem"),
    "set search.top_p=0.5": ("--set=search.top_p=0.5", "search.top_p has an effect on samples"),
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
    if not typed.startswith("set "):
        typist.type(f"/{typed.split()[0]}")
        typist.until(r"\r\n(beam 5|n-best 1|penalty 1.0)\r\n")  # unchanged


def test_a_value_that_is_no_number_is_refused(typist):
    for name in ("beam", "n-best"):
        typist.type(f"/{name} many")
        typist.until(f"{name} is 'many': input should be a valid integer")


def test_a_drawing_has_the_style_that_was_chosen(typist):
    typist.type("/style spiral")
    typist.until("/style takes auto, grid, compact, half, values or list")
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
    typist.type("/set search.min_length=500")  # else it may end early
    typist.until(r"min_length = 500\r")
    typist.type(SLOW)
    time.sleep(1)
    begin = time.monotonic()
    os.kill(typist.pid, signal.SIGINT)
    typist.until("interrupted; /quit or Ctrl-D leaves")
    assert time.monotonic() - begin < 5
    typist.type("/set search.min_length=0")
    typist.until(r"min_length = 0\r")
    typist.type("/beam 5")
    typist.until(r"\nbeam 5\r")
    typist.type("red dog")
    typist.until(r"\n[a-z ]+\r\n")


def test_ctrl_c_clears_a_line_that_is_half_typed(typist):
    typist.type("/nonsen", end="\x03")
    typist.type("/beam")
    assert "unknown" not in typist.until(r"\nbeam 5")


def test_every_command_is_in_the_help(typist):
    typist.type("/help")
    shown = typist.until(r"the model.s next word")
    names = [
        "beam", "n-best", "penalty", "sample", "attention", "style", "head", "confidence", "prefix",
        "score", "force", "tokens", "compare", "reload", "save", "set", "help", "quit",
    ]  # fmt: skip
    assert re.findall(r"\n/([a-z-]+)", shown) == names
    typist.type("/nonsense")
    typist.until(r"unknown command /nonsense; /help lists the commands")


def test_several_pasted_lines_are_a_sentence_each(typist):
    each = [translate(typist, line) for line in ("red dog", "the cat")]
    typist.type("\x1b[200~red dog\n/beam 3\nthe cat\n\x1b[201~")
    shown = typist.until(rf"{each[0]} *\r\n[^\0]*\r\n{each[1]} *\r\n")
    assert "beam 3\r\n" not in shown.replace("/beam 3", "")


def test_tab_completes_commands_and_values(typist):
    for typed, completed in {
        "/attentio": "/attention",
        "/attention pie": "/attention pieces",
        "/set search.utilit": "/set search.utility=",
    }.items():
        typist.type(typed, end=TAB)
        typist.until(completed.removeprefix(typed) or completed)
        typist.type("", end=CTRL_C)


def test_prefix_begins_the_translation_and_tab_takes_the_next_word(typist):
    words = translate(typist, "red dog sees the cat").split()
    typist.type("/prefix ", end=TAB)
    typist.until(words[0])
    typist.type("", end="\r")
    typist.until(rf"\n{' '.join(words)} *\r\n")
    typist.type("/prefix der e")
    typist.until(r"\nder e[a-z ]*\r\n")
    typist.type("/prefix")
    typist.until("/prefix needs the beginning of a translation")


def test_score_and_tokens_show_probabilities(typist):
    text = translate(typist, "red dog")
    typist.type(f"/score {text}")
    shown = typist.until(r"against reference: BLEU \d+\.\d, chrF 100\.0")
    scores = re.findall(r"log-probability (-\d+\.\d+), -\d+\.\d+ a token, perplexity", shown)
    assert len(scores) == 2 and scores[0] == scores[1]
    typist.type("/tokens")
    shown = typist.until(r"target  \d+ pieces: .*</s> [01]\.\d\d")
    assert "".join(re.findall(r"source  \d+ pieces: (.*)\r", shown)).replace(" ", "") == "▁red▁dog"


def test_samples_are_drawn_and_settings_changed(typist):
    typist.type("/sample on")
    typist.until("sample on")
    typist.type("/set search.temperature=50")
    typist.until(r"search.temperature = 50\.0")
    typist.type("/nbest 3")
    typist.until("n-best 3")
    typist.type("red dog")
    shown = typist.until(r"(\r\n +-\d+\.\d+  .*){3}\r\n")
    assert len({*re.findall(r"\n +-\d+\.\d+  (.*)\r", shown)}) == 3
    for command, answer in {
        "/nbest 1": "n-best 1", "/set search.temperature=1": "temperature = 1.0",
        "/sample off": "sample off", "/sample loud": "/sample takes on or off",
    }.items():  # fmt: skip
        typist.type(command)
        typist.until(answer)
    typist.type("/set")
    assert "search.sample = false" in typist.until("search.utility")


def test_attention_is_drawn_on_a_key_or_after_each_translation(typist):
    typist.type("/style list")
    typist.until(r"\nstyle list\r")
    translate(typist, "red dog")
    typist.type("/styl", end=F2)
    typist.until(r" ← .* 0\.\d\d ▇")
    typist.type("e")  # what was half typed is still there
    typist.until(r"\nstyle list\r")
    typist.type("/attention pieces")
    typist.until("attention pieces")
    typist.type("red dog")
    typist.until(r"▁\w+ +← ")
    typist.type("/attention off")
    typist.until("attention off")
    typist.type("/attention loud")
    typist.until("/attention takes on, pieces or off")


def test_words_that_the_model_is_unsure_of_are_dim(typist):
    translate(typist, "red dog")
    assert DIM not in typist.raw
    translate(typist, "/prefix tac")
    assert re.search(r"\x1b\[2mtac\x1b", typist.raw)
    typist.type("/confidence off")
    typist.until(r"confidence off\r")
    translate(typist, "/prefix tac")
    assert DIM not in typist.raw
    typist.type("/confidence")
    typist.until(r"confidence on\r")


def test_another_run_and_a_checkpoint_that_was_trained_on(typist, run):
    typist.type(f"/compare {run}")
    typist.until(rf"compared with {re.escape(str(run))}\r")
    typist.type("red dog")
    typist.until(rf"\nrun +(.+)\r\n{re.escape(str(run))}  \1\r")
    typist.type("/compare off")
    typist.until("compared with no other run")
    typist.type(f"/compare {run.parent}")
    typist.until("is not a run directory")
    typist.type("/reload")
    typist.until(r"loaded again: run: lstm, .*BLEU")


def test_translations_are_saved_and_a_file_is_replaced_only_if_asked(typist, tmp_path):
    text = translate(typist, "red dog")
    path = tmp_path / "said.tsv"
    typist.type(f"/save {path}")
    typist.until(r"translations written to .*\r")
    assert path.read_text().splitlines()[-1] == f"red dog\t{text}"
    path.write_text("mine")
    typist.type(f"/save {path}")
    typist.until(r"exists already \(choose another path, or --overwrite it\)")
    assert path.read_text() == "mine"
    typist.type(f"/save --overwrite {path}")
    typist.until(r"written to .*, which was replaced")
    typist.type("/save -")
    typist.until("- is no file")
    typist.type(f"/save {path.with_suffix('.jsonl')}")
    typist.until(r"written to .*jsonl\r")
    assert json.loads((tmp_path / "said.jsonl").read_text().splitlines()[-1])["translation"]


def test_what_was_typed_is_kept_for_nobody_else(typist, home):
    translate(typist, "a small bird")
    path = home / "seq2seq" / "history"
    assert "a small bird" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_on_a_pipe_translations_alone_go_to_stdout(run):
    plain = call("translate", run, "--threads", 1, stdin=b"red dog\nthe cat\n")
    typed = 'red dog\r\n/beam\n\n/nonsense\n/set search.banned_words=["Käse"]\n/force\nthe cat'
    done = call("translate", run, "-i", "--threads", 1, stdin=typed.encode())
    assert (done.code, done.out) == (0, plain.out) and len(plain.lines) == 2
    for message in ("beam 5\n", "unknown command /nonsense", "/force needs a", '= ["Käse"]\n'):
        assert message in done.err


def test_no_file_that_was_read_is_saved_over(run, tmp_path):
    other, words = shutil.copytree(run, tmp_path / "other"), tmp_path / "words"
    words.write_text("red\n")
    typed = (
        f"/compare {other}\n/save --overwrite {other}/config.toml\n"
        f"/set search.vocabulary={words}\n/save --overwrite {words}\n"
    )
    done = call("translate", run, "-i", "--threads", 1, stdin=typed.encode())
    assert done.err.count("an input of this command") == 2 and words.read_text() == "red\n"
    option = ("--set", f"search.vocabulary={words}")
    refused = call("evaluate", run, words, words, *option, "--output", words, "--overwrite")
    assert refused.code == 2 and "an input of this command" in refused.err


def test_without_history_nothing_is_kept(run, tmp_path):
    typist = Typist("translate", run, "--threads", 1, "--no-history", home=tmp_path)
    typist.until("\n>")
    translate(typist, "red dog")
    typist.type("/quit")
    assert typist.code() == 0 and not list(tmp_path.iterdir())
