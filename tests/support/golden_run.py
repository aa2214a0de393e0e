"""Creates the run that later versions must still load: `python tests/support/golden_run.py NAME`.

It is kept in tests/golden/runs/format-N with its store, some sentences and their translations. A
new one is added only when the format of a store or a run gets a new number; the old ones stay.
"""

import contextlib
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from journey import Corpus, pairs, train  # noqa: E402
from program import succeed  # noqa: E402

RUNS = Path(__file__).parents[1] / "golden" / "runs"
SMALLER = {
    "model.embedding_size": 24,
    "model.encoder_size": 12,
    "model.decoder_size": 24,
    "training.updates": 300,
    "training.validate_every": 100,
    "training.ema": 0.9,
    "training.precision": "float32",
}


def make(folder: Path) -> None:
    folder.mkdir(parents=True)
    # What is written names no folder of this machine.
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        corpus = Corpus(Path())
        corpus.write(train=400, valid=20)
        succeed(*corpus.preprocess(folder / "store"))
        sets = [f"--set={name}={value}" for name, value in SMALLER.items()]
        succeed(*train(folder / "store", folder / "run", *sets))
    source = "".join(f"{sentence}\n" for sentence, _ in pairs(20, seed="golden")).encode()
    (folder / "source.txt").write_bytes(source)
    translated = succeed("translate", folder / "run", "--n-best", 2, stdin=source)
    (folder / "translations.txt").write_text(translated.out, encoding="utf-8")


if __name__ == "__main__":
    make(RUNS / sys.argv[1])
