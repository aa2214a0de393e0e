"""One training in a process of its own: PYTHON -m benchmarks.child JOB."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from benchmarks.job import Job, write_json


def main() -> None:
    import torch

    job = Job.read(Path(sys.argv[1]))
    torch.set_num_threads(job.threads)
    measured = import_module(f"benchmarks.{job.system}").train(job)
    about = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    write_json(job.result, measured | about)


if __name__ == "__main__":
    main()
