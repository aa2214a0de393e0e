"""What may be changed when a run is resumed, what is recorded of it, and what is refused."""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from seq2seq.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from cli.runs.config import RunConfig
    from cli.runs.directory import RunDirectory
    from data.token_store import TokenStore

FREE = ("training.log_every", "training.profile")
"""Changed without a word: no weight depends on them."""

RECORDED = (
    "training.updates", "training.minutes", "training.patience", "training.validate_every",
    "training.keep_best", "training.keep_last", "training.average",
    "training.batch_tokens", "training.accumulate",
    "training.learning_rate", "training.warmup", "training.decay",
    "training.plateau_factor", "training.plateau_patience", "training.plateau_times",
    "training.plateau_restart", "training.weight_decay", "training.clip_norm",
    "training.label_smoothing", "training.coverage_loss",
    "training.scheduled_sampling", "training.precision",
    "search.batch_sentences",
)  # fmt: skip
"""Changed where a --set or a flag asks for it, and noted in provenance.json: the run is no longer
the one that its first settings make. All others are refused: they say what the model, its data and
its chance are, or what a checkpoint holds."""


def check_resumable(run: "RunDirectory", store: "TokenStore") -> None:
    """Raises ConfigError for another token store than the one that the run was trained on."""
    if run.provenance["store"]["sha256"] != store.sha256:
        raise ConfigError(
            f"{run.path} was trained on another token store than {store.path}",
            hint=f"resume with {run.provenance['store']['path']}",
        )


def change(
    run: "RunDirectory", settings: dict[str, dict[str, Any]], flags: dict[str, dict[str, Any]]
) -> None:
    """Take over what may be changed; raises ConfigError, and changes nothing, for the rest."""
    changed, differing = _asked(run, settings, flags)
    if refused := sorted(differing.keys() - {*FREE, *RECORDED}):
        raise ConfigError(
            "; ".join(f"{n} is {differing[n][0]!r}, not {differing[n][1]!r}," for n in refused)
            + f" in {run.path} and cannot be changed when resuming",
            hint="train a new run, or change only " + ", ".join([*FREE, *RECORDED]),
        )
    if noted := {name: values for name, values in differing.items() if name in RECORDED}:
        run.record_changes(
            {
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "update": _update_of(run),
                "setting": name,
                "old": old,
                "new": value,
            }
            for name, (old, value) in noted.items()
        )
    if differing:
        run.write_config(changed)


def finished(
    run: "RunDirectory", settings: dict[str, dict[str, Any]], flags: dict[str, dict[str, Any]]
) -> str | None:
    """Why nothing is left to do for a run, with nothing changed, or None. Nothing is written."""
    from cli.runs.history import AverageLine
    from seq2seq.checkpoints.checkpoint import load_state
    from seq2seq.training.loop import stop_reason

    if _asked(run, settings, flags)[1] or not (run.checkpoints / "last").exists():
        return None
    try:
        state, config = load_state(run.checkpoint("last")), run.config.training
    except CheckpointError:
        return None  # whoever goes on with it says so
    if state.validated != state.update or not (run.report.is_file() or not state.validated):
        return None
    if config.average != "none":
        history = run.read_metrics()
        if not history or not isinstance(history[-1], AverageLine):
            return None
    return stop_reason(state, config)


def _asked(
    run: "RunDirectory", settings: dict[str, dict[str, Any]], flags: dict[str, dict[str, Any]]
) -> tuple["RunConfig", dict[str, tuple[Any, Any]]]:
    """The settings as they would be, and by name the old and new value of what would differ."""
    from cli.runs.config import resolve

    asked = {s: settings.get(s, {}) | flags.get(s, {}) for s in {*settings, *flags}}
    changed = resolve(run.config.model_dump(exclude_none=True), asked)
    now, new = run.config.model_dump(), changed.model_dump()
    return changed, {
        f"{section}.{name}": (now[section][name], new[section][name])
        for section in now
        for name in now[section]
        if now[section][name] != new[section][name]
    }


def _update_of(run: "RunDirectory") -> int:
    """By the name of the last checkpoint, which may be damaged: training says so, and not this."""
    pointer = run.checkpoints / "last"
    name = pointer.read_text(encoding="utf-8", errors="replace") if pointer.is_file() else ""
    found = re.match(r"update-(\d+)", name)
    return int(found[1]) if found else 0
