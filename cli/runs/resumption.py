"""Resuming a run: which settings may be changed then, what is recorded of it, what is refused."""

import re
from datetime import UTC, datetime
from typing import Any

from cli.runs.config import RunConfig, Values, removed_settings, resolve
from cli.runs.directory import CONFIG, RunDirectory
from cli.runs.history import AverageLine
from data.token_store import TokenStore
from seq2seq.checkpoints.checkpoint import load_state
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.training.loop import stop_reason

UNRECORDED = ("training.log_every", "training.profile")
"""May be changed without a record: no weight depends on them."""

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
"""May be changed, and the change is recorded in provenance.json, because the run can no longer be
repeated from its first settings alone. All other settings are refused: they determine the model,
its data and its random numbers, or what a checkpoint contains."""


def check_resumable(run: RunDirectory, store: TokenStore) -> None:
    """Raises ConfigError for another token store, or a setting that this version no longer has."""
    if run.provenance["store"]["sha256"] != store.sha256:
        raise ConfigError(
            f"{run.path} was trained on another token store than {store.path}",
            hint=f"resume with {run.provenance['store']['path']}",
        )
    _ = run.config  # raises CheckpointError if it is damaged
    for name in removed_settings(run.path / CONFIG):
        raise ConfigError(
            f"{run.path} is trained with {name}, which this version of seq2seq no longer has",
            hint="resume it with the version in its provenance.json, or train a new run; it can "
            "still translate",
        )


def change_settings(run: RunDirectory, changes: Values) -> None:
    """Write changed settings into a run; raises ConfigError, and writes nothing, if one is fixed.

    changes: settings by section; one that has its old value is no change
    """
    changed, differences = _compare(run, changes)
    if refused := sorted(differences.keys() - {*UNRECORDED, *RECORDED}):
        raise ConfigError(
            "; ".join(f"{n} is {differences[n][0]!r}, not {differences[n][1]!r}," for n in refused)
            + f" in {run.path} and cannot be changed when resuming",
            hint="train a new run, or change only " + ", ".join([*UNRECORDED, *RECORDED]),
        )
    if recorded := {name: each for name, each in differences.items() if name in RECORDED}:
        run.record_changes(
            {
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "update": _last_update(run),
                "setting": name,
                "old": old,
                "new": new,
            }
            for name, (old, new) in recorded.items()
        )
    if differences:
        run.write_config(changed)


def reason_finished(run: RunDirectory, changes: Values) -> str | None:
    """Why nothing is left to do for a run, with no setting changed; else None. Writes nothing."""
    if _compare(run, changes)[1] or not (run.checkpoints / "last").exists():
        return None
    try:
        state, config = load_state(run.checkpoint("last")), run.config.training
    except CheckpointError:
        return None  # reported when training is resumed
    if state.validated != state.update or not (run.report.is_file() or not state.validated):
        return None
    if config.average != "none":
        history = run.read_metrics()
        if not history or not isinstance(history[-1], AverageLine):
            return None
    return stop_reason(state, config)


def _compare(run: RunDirectory, changes: Values) -> tuple[RunConfig, dict[str, tuple[Any, Any]]]:
    """The settings with the changes, and by name the old and new value of each that differs."""
    changed = resolve(run.config.model_dump(exclude_none=True), changes)
    old, new = run.config.model_dump(), changed.model_dump()
    return changed, {
        f"{section}.{name}": (old[section][name], new[section][name])
        for section in old
        for name in old[section]
        if old[section][name] != new[section][name]
    }


def _last_update(run: RunDirectory) -> int:
    """The update of the last checkpoint by its name; its contents may be damaged."""
    pointer = run.checkpoints / "last"
    name = pointer.read_text(encoding="utf-8", errors="replace") if pointer.is_file() else ""
    found = re.match(r"update-(\d+)", name)
    return int(found[1]) if found else 0
