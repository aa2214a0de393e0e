"""`train --tune`: a search over the settings that matter most, before a run is trained.

It uses optuna, an optional dependency that nothing else imports; without it, importing this package
raises ConfigError. For a run RUN, the folder RUN.trials holds

search.json    what is searched, to be sure that a search is continued with the same
trials.jsonl   what happened in each trial, one event a line: a search that is continued replays it
trials.txt     a table of the trials, the best first
trial-N/       the run directory of each trial, whose checkpoints are removed when it has ended
learnt/        lexicon and links that the trials learn from the store, once for all; may be removed
"""

from seq2seq.errors import ConfigError

try:
    import optuna  # noqa: F401
except ImportError as error:
    raise ConfigError(
        "--tune needs optuna, which is not installed",
        hint="install it with `pip install 'seq2seq-trainer[tune]'`",
    ) from error
