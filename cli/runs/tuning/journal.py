"""trials.jsonl: what happened in the trials of a search, and the trials as it describes them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from cli.runs.tuning.space import Settings
from seq2seq.errors import CheckpointError
from seq2seq.system.files import replacing

Result = Literal["complete", "pruned", "diverged", "out of memory"]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    trial: int = Field(ge=1)


class Begin(_Event):
    """A trial begins with these values of what is searched."""

    event: Literal["begin"] = "begin"
    settings: Settings


class Validated(_Event):
    """A trial was validated."""

    event: Literal["validation"] = "validation"
    percent: int  # of its time or its updates, whichever is further
    seconds: float  # trained so far
    value: float  # of its best checkpoint, by the metric that chooses it; higher is better


class End(_Event):
    """A trial has ended."""

    event: Literal["end"] = "end"
    result: Result
    value: float | None = None  # of its best checkpoint; None where it failed
    best_update: int | None = None
    seconds: float


Event: TypeAlias = Annotated[Begin | Validated | End, Field(discriminator="event")]
_EVENT: TypeAdapter[Begin | Validated | End] = TypeAdapter(Event)


@dataclass
class Trial:
    """A trial with its validations, and its end if it has come to it."""

    number: int
    settings: Settings
    validations: list[Validated] = field(default_factory=list)
    end: End | None = None


class Journal:
    """The trials of a search, in memory and in trials.jsonl."""

    def __init__(self, path: Path) -> None:
        """Raises CheckpointError where the file is damaged; a last line that a crash has cut short
        is removed."""
        self._path = path
        self.trials: list[Trial] = []
        try:
            text = path.read_text(encoding="utf-8") if path.is_file() else ""
            whole = text[: text.rfind("\n") + 1]
            for line in whole.splitlines():
                self._apply(_EVENT.validate_json(line))
        except (ValueError, IndexError) as error:
            raise CheckpointError(
                f"{path} is damaged", hint=f"restore it, or remove {path.parent} and search again"
            ) from error
        if whole != text:
            with replacing(path) as partial:
                partial.write_text(whole, encoding="utf-8")

    @property
    def pending(self) -> Trial | None:
        """The trial that has begun and not ended; only the last one can be."""
        last = self.trials[-1] if self.trials else None
        return last if last and last.end is None else None

    def add(self, event: Begin | Validated | End) -> None:
        """Write one line, and bring `trials` up to date."""
        with self._path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(event.model_dump_json() + "\n")
        self._apply(event)

    def _apply(self, event: Begin | Validated | End) -> None:
        if isinstance(event, Begin):
            self.trials.append(Trial(event.trial, event.settings))
        elif isinstance(event, Validated):
            self.trials[event.trial - 1].validations.append(event)
        else:
            self.trials[event.trial - 1].end = event
