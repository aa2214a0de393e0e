"""Errors about a name that is not known, with the name that was meant."""

import difflib
from collections.abc import Sequence

from seq2seq.errors import ConfigError

_FEW = 9  # names that an error lists

OF_OTHER_TOOLS = {
    "lr": "training.learning_rate",
    "batch_size": "training.batch_tokens",
    "max_tokens": "training.batch_tokens",
    "epochs": "training.updates",
    "max_epoch": "training.updates",
    "max_update": "training.updates",
    "train_steps": "training.updates",
    "updates": "training.updates",
    "steps": "training.updates",
    "validation_freq": "training.validate_every",
    "valid_steps": "training.validate_every",
    "early_stopping": "training.patience",
    "warmup_steps": "training.warmup",
    "update_freq": "training.accumulate",
    "accum_count": "training.accumulate",
    "batch_multiplier": "training.accumulate",
    "max_grad_norm": "training.clip_norm",
    "clip_grad_norm": "training.clip_norm",
    "moving_average": "training.ema",
    "word_vec_size": "model.embedding_size",
    "embed_dim": "model.embedding_size",
    "embedding_dim": "model.embedding_size",
    "rnn_size": "model.decoder_size",
    "hidden_size": "model.decoder_size",
    "hidden_dim": "model.decoder_size",
    "num_layers": "model.decoder_layers",
    "layers": "model.decoder_layers",
    "brnn": "model.encoder",
    "bidirectional": "model.encoder",
    "rnn_type": "model.cell",
    "global_attention": "model.score",
    "input_feed": "model.input_feeding",
    "bridge_type": "model.bridge",
    "tied_embeddings": "model.tie_embeddings",
    "share_embeddings": "model.tie_embeddings",
    "tied_softmax": "model.tie_embeddings",
    "hidden_dropout": "model.dropout",
    "beam_size": "search.beam",
    "beam_alpha": "search.length_penalty",
    "max_output_length": "search.max_length_factor",
    "vocab_size": "data.vocabulary_size",
    "max_sent_length": "data.max_pieces",
}
"""Settings by their names in OpenNMT-py, Joey NMT and fairseq, or by those of similar ones."""


def unknown(what: str, name: str, known: Sequence[str]) -> ConfigError:
    """An error whose hint names the setting that was meant, or else says which there are."""
    section, dot, setting = name.rpartition(".")
    if (elsewhere := OF_OTHER_TOOLS.get(setting.replace("-", "_").lower())) in known:
        return ConfigError(f"unknown {what}: {name}", hint=f"it is called {elsewhere} here")
    in_section = [key for key in known if key.startswith(section + dot)]
    same_name = [key for key in known if dot and key.endswith(dot + setting)]
    for near in (same_name, in_section, known):
        found = difflib.get_close_matches(setting, [k.rpartition(".")[2] for k in near], n=1)
        if found:
            nearest = next(key for key in near if key.rpartition(".")[2] == found[0])
            return ConfigError(f"unknown {what}: {name}", hint=f"did you mean {nearest}?")
    if len(known) <= _FEW:
        return ConfigError(f"unknown {what}: {name}", hint="there are " + ", ".join(known))
    there = f"{section} has {len(in_section)}" if dot else f"there are {len(known)}"
    return ConfigError(
        f"unknown {what}: {name}",
        hint=f"{there} settings, such as {', '.join(in_section[:3])}; docs/settings.md lists them",
    )
