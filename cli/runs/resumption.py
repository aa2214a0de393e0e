"""Resuming a run: which settings may be changed then, what is recorded of it, what is refused."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cli.runs.config import RunConfig, Values, removed_settings, resolve
from cli.runs.directory import CONFIG, RunDirectory
from cli.runs.history import AverageLine
from data.token_store import TokenStore
from seq2seq.checkpoints.checkpoint import load_state
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.system.figures import plural
from seq2seq.system.shell import command
from seq2seq.training.loop import stop_reason

UNRECORDED = (
    "training.log_every", "training.profile", "training.track", "training.rank_timeout",
)  # fmt: skip
"""May be changed without a record: no weight depends on them."""

RECORDED = (
    "training.updates", "training.minutes", "training.patience", "training.validate_every",
    "training.keep_best", "training.keep_last", "training.average",
    "training.batch_tokens", "training.accumulate",
    "training.learning_rate", "training.warmup", "training.decay",
    "training.plateau_factor", "training.plateau_patience", "training.plateau_times",
    "training.plateau_restart", "training.weight_decay", "training.clip_norm",
    "training.label_smoothing", "training.coverage_loss",
    "training.guided_alignment", "training.guided_alignment_loss",
    "training.guided_alignment_decay", "training.guided_alignment_head",
    "training.guided_alignment_shift", "training.guided_alignment_unlinked",
    "training.scheduled_sampling", "training.precision", "training.cuda_graphs",
    "search.batch_sentences", "search.batch_tokens",
)  # fmt: skip
"""May be changed, and the change is recorded in provenance.json, because the run can no longer be
repeated from its first settings alone. All other settings are refused: they determine the model,
its data and its random numbers, or what a checkpoint contains."""


PROCESSES = "processes"
"""In provenance.json: how many train the run, and under `changes` where their number changed."""


def check_resumable(run: RunDirectory, store: TokenStore) -> None:
    """Raises ConfigError for another token store, or a setting that this version no longer has."""
    if run.provenance["store"]["sha256"] != store.sha256:
        raise _other_store(run, store)
    _ = run.config  # raises CheckpointError if it is damaged
    for name in removed_settings(run.path / CONFIG):
        raise ConfigError(
            f"{run.path} is trained with {name}, which this version of seq2seq no longer has",
            hint="resume it with the version in its provenance.json, or train a new run; it can "
            "still translate",
        )


def _other_store(run: RunDirectory, store: TokenStore) -> ConfigError:
    """The error for a store that is not the run's: another one, or its own with other contents."""
    own = run.store_path
    same_pieces = run.provenance["pieces_sha256"] == store.pieces_sha256
    start = ("--start-from", run.path) if same_pieces else ()
    anew = command("train", store.path, "NEW_RUN", *start)
    if store.path.resolve() == own.resolve():
        return ConfigError(
            f"{store.path} was made anew after {run.path} was trained on it, and has "
            f"{_store_differences(run, store)}",
            hint=f"make it again from the text and with the settings that it had, or train a new "
            f"run: {anew}",
        )
    message = f"{run.path} was trained on another token store than {store.path}"
    if run.trained_store():
        return ConfigError(message, hint=command("train", own, run.path, "--resume"))
    return ConfigError(
        f"{message}: on {own}, which is no longer there or has other contents",
        hint=f"find that store again, or train a new run: {anew}",
    )


def _store_differences(run: RunDirectory, store: TokenStore) -> str:
    """In words, in what a store differs from the one that the run was trained on."""
    old, new = _text_hashes(run.provenance["inputs"]), _text_hashes(store.meta["inputs"])
    texts = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    data, now = run.config.data.model_dump(), store.config.model_dump()
    settings = [f"data.{name} {now[name]!r}" for name in now if now[name] != data[name]]
    pieces = run.provenance["pieces_sha256"] != store.pieces_sha256
    found = [f"other text ({', '.join(texts)})"] * bool(texts) + settings
    return ", ".join([*found, *["other subword pieces"] * pieces]) or "another meta.json"


def _text_hashes(inputs: Mapping[str, Any], name: str = "") -> dict[str, str]:
    """The hash of each text in a description of inputs, by a name such as "train source"."""
    if "sha256" in inputs:
        return {name: inputs["sha256"]}
    found: dict[str, str] = {}
    for key, value in inputs.items():
        if isinstance(value, Mapping):
            found |= _text_hashes(value, f"{name} {key}".strip())
    return found


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
        run.record_changes(_change(run, name, old, new) for name, (old, new) in recorded.items())
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


def record_processes(run: RunDirectory, count: int) -> str | None:
    """Record that a resumed run is trained by another number of processes than before, if it is;
    returns a sentence about it."""
    changes = [each for each in run.provenance.get("changes", ()) if each["setting"] == PROCESSES]
    before = changes[-1]["new"] if changes else run.provenance.get(PROCESSES, 1)
    if before == count:
        return None
    run.record_changes([_change(run, PROCESSES, before, count)])
    earlier = f"{before} {plural(before, 'process', 'processes')}"
    return (
        f"trained by {earlier} before and by {count} from here on: sums are rounded in another "
        "order, so losses agree to about six digits at first"
    )


def _change(run: RunDirectory, setting: str, old: object, new: object) -> dict[str, object]:
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "update": _last_update(run),
        "setting": setting,
        "old": old,
        "new": new,
    }


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
