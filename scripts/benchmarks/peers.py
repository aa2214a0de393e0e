"""The peers: their versions, their environments, and the patches that they need today."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.job import write_json


@dataclass(frozen=True)
class Patch:
    """One replacement in a file that a peer installs."""

    file: str  # relative to site-packages
    old: str
    new: str
    reason: str


@dataclass(frozen=True)
class Peer:
    """A released trainer, installed from the package index with our pins in place of its own."""

    module: str  # of this package
    distribution: str
    version: str
    requirements: tuple[str, ...]  # beside torch, of our version
    patches: tuple[Patch, ...] = ()


class InstallationError(Exception):
    """A peer cannot be installed; the message says what failed, and has a hint."""


PEERS = (
    Peer(
        module="opennmt",
        distribution="OpenNMT-py",
        version="3.5.1",
        requirements=(
            "numpy==2.4.6", "configargparse==1.9.0", "pyyaml==6.0.3", "six==1.17.0",
            "tensorboard==2.21.0", "setuptools==84.2.1", "sacrebleu==2.6.0", "rapidfuzz==3.14.6",
            # imported even by plain recurrent training
            "pyahocorasick==2.3.1", "fasttext-wheel==0.9.2", "spacy==3.8.18", "pyonmttok==1.38.1",
            "ctranslate2==4.8.5", "flask==3.1.3", "waitress==3.0.2",
        ),
        patches=(
            Patch(
                "onmt/models/model_saver.py",
                'torch.load(ckpt_path, map_location=torch.device("cpu"))',
                'torch.load(ckpt_path, map_location=torch.device("cpu"), weights_only=False)',
                "its checkpoints hold an argparse.Namespace, which torch 2.6 and later refuse",
            ),
        ),
    ),
    Peer(
        module="joey",
        distribution="joeynmt",
        version="2.3.0",
        requirements=(
            "numpy==2.4.6", "pyyaml==6.0.3", "six==1.17.0", "tensorboard==2.21.0",
            "setuptools==84.2.1", "sacrebleu==2.6.0", "sentencepiece==0.2.0", "subword-nmt==0.3.8",
            "sacremoses==0.2.0", "matplotlib==3.11.2", "seaborn==0.13.2", "packaging==26.3",
            "importlib_metadata==10.2.0", "datasets==5.2.0", "pandas==3.1.1", "tqdm==4.70.1",
        ),
        patches=(
            Patch(
                "joeynmt/builders.py",
                '            "verbose": False,\n',
                "",
                "ReduceLROnPlateau has lost this argument",
            ),
            Patch(
                "joeynmt/prediction.py",
                "save_hypothese(out_file, all_hypotheses, args.n_best)",
                "save_hypothese(out_file, all_hypotheses, args.test.n_best)",
                "a slip that ends `translate -o` with an AttributeError",
            ),
        ),
    ),
    Peer(
        module="eole",
        distribution="eole",
        version="0.6.4",
        requirements=(
            "numpy==2.4.6", "configargparse==1.9.0", "pyyaml==6.0.3", "six==1.17.0",
            "tensorboard==2.21.0", "setuptools==84.2.1", "sacrebleu==2.6.0", "rapidfuzz==3.14.6",
            "rich==15.0.0", "safetensors==0.8.0", "sentencepiece==0.2.2", "subword-nmt==0.3.8",
            "pydantic==2.14.3", "pandas==3.1.1", "pyahocorasick==2.3.1", "fasttext-wheel==0.9.2",
            "spacy==3.8.18", "pyonmttok==1.38.1", "ctranslate2==4.8.5", "waitress==3.0.2",
            # imported even by plain recurrent training
            "huggingface_hub==2.4.0", "tokenizers==0.23.3", "fastapi==0.165.0", "uvicorn==0.54.0",
            "aiohttp==3.14.5", "pillow==13.0.0",
        ),
    ),
)  # fmt: skip
BY_MODULE = {peer.module: peer for peer in PEERS}


def environment(peer: Peer, folder: Path) -> Path:
    """The Python of a peer's environment in the folder; creates what is missing or out of date.

    A stamp of everything that was installed is written last. Raises InstallationError.
    """
    home = folder / f"{peer.module}-{peer.version}"
    python, stamp = home / "bin" / "python", home / "installed.json"
    wanted = json.loads(json.dumps(_contents(peer)))
    if stamp.is_file() and json.loads(stamp.read_text(encoding="utf-8")) == wanted:
        return python
    print(f"installing {peer.distribution} {peer.version} into {home}", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    _run(
        [sys.executable, "-m", "venv", "--clear", str(home)], "the environment could not be created"
    )
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, f"torch=={_torch()}", *peer.requirements], f"what {peer.module} needs")
    _run([*pip, "--no-deps", f"{peer.distribution}=={peer.version}"], peer.distribution)
    for patch in peer.patches:
        apply(patch, _packages(python))
    write_json(stamp, wanted)
    return python


def apply(patch: Patch, packages: Path) -> None:
    """Raises InstallationError when the file is not the one that the patch was made for."""
    path = packages / patch.file
    text = path.read_text(encoding="utf-8")
    if text.count(patch.old) != 1:
        raise InstallationError(f"{path} is not what the patch expects ({patch.reason})")
    path.write_text(text.replace(patch.old, patch.new), encoding="utf-8")


def _contents(peer: Peer) -> dict[str, object]:
    """Everything that an environment is made from, for its stamp."""
    return asdict(peer) | {"torch": _torch(), "python": sys.version}


def _torch() -> str:
    """Our version of torch, without the "+cpu" that only some indexes have in theirs."""
    return torch.__version__.split("+")[0]


def _packages(python: Path) -> Path:
    """The site-packages of an environment."""
    printed = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return Path(printed.stdout.strip())


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        end = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise InstallationError(
            f"{what}: {' '.join(command[:4])} ... failed\n{end}\n"
            "hint: look at pip's lines above; is there a network?"
        )
