"""The commands of the prompt: what each takes, what it does, and which values complete it."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin

from cli.runs.config import checked_n_best, require_sampling, section_settings, toml_value
from cli.runs.introduction import introduction
from cli.runs.output import is_standard_output, refuse_output, write_lines
from cli.runs.translator import Translator
from cli.runs.views import NamedHead, parse_head
from cli.terminal.console import note, write_line
from cli.terminal.pair_scores import perplexity
from cli.terminal.prompt.session import DrawnAttention, Session
from data.corpus import SentencePair
from seq2seq.config import SearchConfig
from seq2seq.errors import ConfigError
from seq2seq.evaluation.bayes_risk import sentence_utility
from seq2seq.rendering.drawing import Mode, Style
from seq2seq.system.visible import json_line

STYLES = ("auto", *get_args(Mode))
ATTENTION = get_args(DrawnAttention)
SWITCH = ("on", "off")
OVERWRITE = "--overwrite"


@dataclass(frozen=True)
class Command:
    """A command that begins with a slash."""

    names: tuple[str, ...]  # the first is in the help
    example: str  # its argument, as the help shows it
    meaning: str
    run: Callable[[Session, str], None]
    values: Callable[[Session], Iterable[str]] = lambda _: ()  # that complete its argument
    takes_path: bool = False


def help_lines() -> list[str]:
    """Every command with its meaning."""
    rows = [("a sentence", "is translated")]
    rows += [(f"/{each.names[0]} {each.example}".rstrip(), each.meaning) for each in COMMANDS]
    rows += [
        ("/quit", "leave, as does Ctrl-D; Ctrl-C clears the line or ends the search"),
        ("//...", "a sentence that begins with a slash"),
        ("F2", "draw the attention of the last translation"),
        ("Tab", "complete a command or value; after /prefix, the model's next word"),
    ]
    width = max(len(usage) for usage, _ in rows)
    return [f"{usage:{width}}  {meaning}" for usage, meaning in rows]


def command_names() -> list[str]:
    """All names that a command goes by, without the slash."""
    return [*(name for each in COMMANDS for name in each.names), "quit", "exit"]


def find_command(name: str) -> Command | None:
    return next((each for each in COMMANDS if name in each.names), None)


def obey(session: Session, name: str, argument: str) -> None:
    """Carry out a command. Raises UserError for a value that it does not take."""
    command = find_command(name)
    if command is None:
        note(f"unknown command /{name}; /help lists the commands")
        return
    command.run(session, argument)


def _help(session: Session, argument: str) -> None:
    for line in help_lines():
        write_line(line)


def _beam(session: Session, argument: str) -> None:
    _change(session, "beam", argument)
    note(f"beam {session.translator.search.beam}")


def _n_best(session: Session, argument: str) -> None:
    if argument:
        session.n_best = checked_n_best(toml_value(argument))
    note(f"n-best {session.n_best}")


def _penalty(session: Session, argument: str) -> None:
    _change(session, "length_penalty", argument)
    note(f"penalty {session.translator.search.length_penalty}")


def _change(session: Session, name: str, argument: str) -> None:
    if argument:
        session.change_search({name: toml_value(argument)})


def _sample(session: Session, argument: str) -> None:
    sample = _switched("sample", argument, now=session.translator.search.sample)
    session.change_search({"sample": sample})
    note(f"sample {_on_or_off(sample)}" + ("; /n-best N draws N" if sample else ""))


def _confidence(session: Session, argument: str) -> None:
    session.confidence = _switched("confidence", argument, now=session.confidence)
    note(f"confidence {_on_or_off(session.confidence)}")


def _attention(session: Session, argument: str) -> None:
    _require_one_of("attention", argument, ("on", "pieces", "off"))
    chosen = argument or ("on" if session.attention == "off" else "off")
    session.attention = cast(DrawnAttention, chosen)
    note(f"attention {session.attention}")


def _style(session: Session, argument: str) -> None:
    _require_one_of("style", argument, STYLES)
    session.style = cast(Style, argument) if argument else session.style
    note(f"style {session.style}")


def _head(session: Session, argument: str) -> None:
    if argument:
        session.translator.require_attention()
        before, session.head = session.head, parse_head(argument)
        try:
            session.selection.check(session.translator)
        except ConfigError:
            session.head = before
            raise
    note(f"head {session.head}")


def _prefix(session: Session, argument: str) -> None:
    if not argument.strip():
        raise ConfigError(
            "/prefix needs the beginning of a translation of the last sentence",
            hint="as in /prefix TEXT; Tab takes the model's next word",
        )
    session.translate(session.require_last().source, argument)


def _score(session: Session, argument: str) -> None:
    """Print the log-probability of a reference and of the translation, and how alike they are."""
    last = session.require_last()
    if not argument:
        raise ConfigError(
            "/score needs a reference translation of the last sentence", hint="as in /score TEXT"
        )
    translator, source = session.translator, last.source
    pairs = [SentencePair(source, argument), SentencePair(source, last.text)]
    for name, score in zip(
        ("reference", "translation"), translator.score_pairs(pairs), strict=True
    ):
        total, tokens = score.log_probability, len(score.pieces)
        write_line(
            f"{name:11}  log-probability {total:.3f}, {total / max(1, tokens):.3f} a token, "
            f"perplexity {perplexity(total, max(1, tokens)):.2f}"
        )
    bleu, chrf = (
        sentence_utility(
            last.text, argument, utility=utility, target_language=translator.target_language
        )
        for utility in cast(tuple[Literal["bleu", "chrf"], ...], ("bleu", "chrf"))
    )
    write_line(f"translation against reference: BLEU {bleu:.1f}, chrF {chrf:.1f} (one sentence)")


def _force(session: Session, argument: str) -> None:
    """Draw the attention for a translation that was typed, and print its log-probability."""
    last = session.require_last()
    if not argument:
        raise ConfigError(
            "/force needs a translation of the last sentence", hint="as in /force TEXT"
        )
    forced = session.translator.align(last.source, argument, head=session.selection.search_head)
    if forced.candidates:
        note(f"log-probability {forced.candidates[0].log_probability:.3f}")
    session.draw(forced)


def _tokens(session: Session, argument: str) -> None:
    """Print the pieces of the last sentence and of its translation, with their probabilities."""
    last, translator = session.require_last(), session.translator
    pieces = translator.source_labels(last.source)[:-1]
    write_line(f"source  {len(pieces)} pieces: {' '.join(pieces)}")
    for candidate in last.candidates[:1]:
        found = zip(
            candidate.pieces, translator.log_probabilities(last.source, candidate), strict=True
        )
        shown = (f"{piece} {math.exp(each):.2f}" for piece, each in found)
        write_line(f"target  {len(candidate.pieces)} pieces: {'  '.join(shown)}")


def _compare(session: Session, argument: str) -> None:
    if argument == "off":
        session.compared = {}
    elif argument:
        path = _path(argument)
        search = session.translator.search.model_dump() | {"ensemble_weights": ()}
        other = Translator.load(path, search=search, device=session.translator.device, notify=note)
        taken = (session.translator.name, *session.compared)
        session.compared[str(path) if other.name in taken else other.name] = other
    note(f"compared with {', '.join(session.compared) or 'no other run'}")


def _reload(session: Session, argument: str) -> None:
    """Load all checkpoints again, which a training may have replaced meanwhile."""
    if (origin := session.translator.origin) is None:
        raise ConfigError("this model was not loaded from a run")
    session.compared = {
        name: each.origin.load() for name, each in session.compared.items() if each.origin
    }
    session.translator = origin.load()
    note(f"loaded again: {introduction(session.translator)}")


def _save(session: Session, argument: str) -> None:
    """Write the sentences of this session and their translations, as columns or JSON lines."""
    overwrite = argument.partition(" ")[0] == OVERWRITE
    name = argument.removeprefix(OVERWRITE).strip() if overwrite else argument
    if not name:
        raise ConfigError(
            "/save needs a file to write to",
            hint="as in /save FILE: a line for each sentence, or JSON where FILE ends in .jsonl",
        )
    path = _path(name)
    if is_standard_output(path):
        raise ConfigError(f"{path} is no file", hint="translations are on the screen already")
    replaces = path.exists()
    origins = [each.origin for each in (session.translator, *session.compared.values())]
    inputs = [file for each in origins if each is not None for file in each.files]
    refuse_output(path, inputs=inputs, overwrite=overwrite)
    write_lines(path, _saved_lines(session, as_json=path.suffix in (".jsonl", ".json")))
    count = f"{len(session.translations):,} translations"
    note(f"{count} written to {path}" + (", which was replaced" if replaces else ""))


def _saved_lines(session: Session, *, as_json: bool) -> Iterator[str]:
    for each in session.translations:
        if as_json:
            yield json_line(each).removesuffix("\n")
        else:
            yield "\t".join(each[key].replace("\t", " ") for key in ("source", "translation"))


def _set(session: Session, argument: str) -> None:
    """Change settings of section `search`, or print all of them."""
    if not argument:
        for name in type(session.translator.search).model_fields:
            write_line(_setting_line(session, name))
        return
    changes = section_settings([argument], "search", note)
    require_sampling({"sample": session.translator.search.sample} | changes)
    session.change_search(changes)
    for name in changes:
        note(_setting_line(session, name))


def _setting_line(session: Session, name: str) -> str:
    value = getattr(session.translator.search, name)
    shown = json.dumps(value, ensure_ascii=False)
    return f"search.{name} " + ("is not set" if value is None else f"= {shown}")


def _setting_values(session: Session) -> Iterator[str]:
    for name, setting in SearchConfig.model_fields.items():
        yield f"search.{name}="
        if get_origin(setting.annotation) is Literal:
            yield from (f"search.{name}={value}" for value in get_args(setting.annotation))
        elif setting.annotation is bool:
            yield from (f"search.{name}={value}" for value in ("true", "false"))


def _head_values(session: Session) -> list[str]:
    return [*get_args(NamedHead), *map(str, range(1, session.translator.heads + 1))]


def _path(text: str) -> Path:
    """A path, in which ~ is a home directory. Raises ConfigError for what cannot be one."""
    try:
        path = Path(text).expanduser()
        path.resolve()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"{text} cannot be used as a path: {error}", hint="give another path"
        ) from error
    return path


def _switched(name: str, argument: str, *, now: bool) -> bool:
    """Whether an argument turns a setting on; without an argument, the opposite of `now`."""
    _require_one_of(name, argument, SWITCH)
    return argument == "on" if argument else not now


def _require_one_of(name: str, argument: str, values: Sequence[Any]) -> None:
    if argument and argument not in values:
        raise ConfigError(f"/{name} takes {', '.join(values[:-1])} or {values[-1]}")


def _on_or_off(value: bool) -> str:
    return "on" if value else "off"


COMMANDS = (
    Command(("beam",), "8", "use beam size 8 (1 is greedy search)", _beam),
    Command(("n-best", "nbest"), "3", "print the 3 best translations", _n_best),
    Command(("penalty",), "1.2", "exponent of the length penalty; 0 turns it off", _penalty),
    Command(("sample",), "on", "draw translations at random; also: off", _sample, lambda _: SWITCH),
    Command(
        ("attention", "alignments"),
        "on",
        "draw the attention for each translation; also: pieces, off",
        _attention,
        lambda _: ATTENTION,
    ),
    Command(
        ("style",),
        "half",
        "how it is drawn: auto, grid, compact, half, values or list",
        _style,
        lambda _: STYLES,
    ),
    Command(
        ("head",), "2", "draw this attention head; also: guided, mean, all", _head, _head_values
    ),
    Command(
        ("confidence",),
        "off",
        "print words that the model is unsure of like others; also: on",
        _confidence,
        lambda _: SWITCH,
    ),
    Command(("prefix",), "TEXT", "translate the last sentence, beginning with TEXT", _prefix),
    Command(("score",), "REFERENCE", "compare the last translation with a reference", _score),
    Command(
        ("force",),
        "TEXT",
        "draw the attention for TEXT as the translation of the last sentence",
        _force,
    ),
    Command(("tokens",), "", "print the pieces of the last sentence and its translation", _tokens),
    Command(
        ("compare",),
        "RUN",
        "translate with this run too; again for more; also: off",
        _compare,
        lambda _: ("off",),
        takes_path=True,
    ),
    Command(("reload",), "", "load the checkpoint again, while a training goes on", _reload),
    Command(
        ("save",),
        "FILE",
        f"write all sentences and translations to a file; {OVERWRITE} FILE replaces it",
        _save,
        takes_path=True,
    ),
    Command(
        ("set",),
        "search.NAME=VALUE",
        "change a search setting; /set alone lists them",
        _set,
        _setting_values,
    ),
    Command(("help",), "", "print this list", _help),
)
