"""Arrays that were learnt from a token store, in a file of a run."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seq2seq.errors import CheckpointError
from seq2seq.system.files import replacing, saving_tensors

FORMAT_VERSION = 1

Arrays = Mapping[str, npt.NDArray[Any]]


def save_arrays(path: Path, kind: str, arrays: Arrays, *, store_sha256: str) -> None:
    """Write the file that `load_arrays` reads, atomically; the arrays are contiguous.

    kind: what the arrays are, such as "lexical_table"

    Raises OSError.
    """
    from safetensors.numpy import save_file

    about = {
        "format_version": FORMAT_VERSION,
        "store_sha256": store_sha256,
        "sha256": _sha256(arrays),
    }
    with replacing(path) as partial, saving_tensors(partial, path):
        # without a copy of the arrays, which may need most of the memory
        save_file(dict(arrays), partial, {kind: json.dumps(about)})


def load_arrays(
    path: Path, kind: str, names: Sequence[str], *, store_sha256: str
) -> dict[str, npt.NDArray[Any]]:
    """The arrays of these names, which are all that was saved, in the order in which they were.

    Raises CheckpointError for a file that is damaged or of another version or store.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            about: dict[str, Any] = json.loads(file.metadata()[kind])
            arrays = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise _unusable(path, "is damaged") from error
    if about.get("format_version") != FORMAT_VERSION:
        raise _unusable(path, f"has format version {about.get('format_version')}")
    if about.get("sha256") != _sha256(arrays):
        raise _unusable(path, "is damaged")
    if about.get("store_sha256") != store_sha256:
        raise _unusable(path, "was learnt from another token store")
    return arrays


def _sha256(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for array in arrays.values():
        digest.update(np.ravel(array).data)  # no copy of an array that is contiguous
    return digest.hexdigest()


def _unusable(path: Path, problem: str) -> CheckpointError:
    return CheckpointError(f"{path} {problem}", hint=f"restore {path.parent}")
