"""Two "machines" on this one train together over a network of a given speed, which is cut then.

    sudo python scripts/two_machines.py STORE [--rates 1gbit 100mbit] [--updates 40]

Each machine is a network namespace, and a pair of virtual Ethernet interfaces, shaped by tc, is the
cable between them. A training by one process comes first. Its losses must be those of the two
machines, which are started by hand as docs/scale.md describes. The cable is cut in the middle of a
last training: both ranks must end within `training.rank_timeout` and the seconds in which lost
ranks are named, with exit code 6, and the run must be whole.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmark_scale import Measured, training_options
from installed import run_program

from cli.runs.joining import ANSWER_SECONDS
from cli.runs.launching import LOST_RANK

NAMESPACES = ("seq2seq-1", "seq2seq-2")
ADDRESSES = ("10.77.0.1", "10.77.0.2")
CABLE = ("s2s1", "s2s2")
TIMEOUT = 5  # seconds of training.rank_timeout where the cable is cut
PROGRAM = str(Path(sys.executable).with_name("seq2seq"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--rates", nargs="+", default=["1gbit", "100mbit"], help="as for tc")
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    options = training_options(arguments.updates, arguments.recipe, arguments.set)
    options += ["--threads", "1"]
    store, problems = arguments.store.resolve(), list[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_program("train", str(store), str(folder / "alone"), *options)
        alone = Measured.of(folder / "alone")
        print("| | tokens/s | ms an update | communication | largest difference of a loss |")
        print("| --- | ---: | ---: | ---: | ---: |")
        print(
            f"| one machine | {alone.tokens_per_second:,.0f} | "
            f"{1000 * alone.update_seconds:.0f} | | |"
        )
        for rate in arguments.rates:
            with cable(rate):
                run = folder / rate
                ranks = started(["train", str(store), str(run), *options])
                codes = [rank.wait() for rank in ranks]
            if any(codes):
                problems.append(f"{rate}: exit codes {codes}")
                continue
            found = Measured.of(run)
            pairs = zip(alone.losses, found.losses, strict=True)
            print(
                f"| two, {rate} | {found.tokens_per_second:,.0f} | "
                f"{1000 * found.update_seconds:.0f} | {found.communication:.0%} | "
                f"{max(abs(a - b) for a, b in pairs):.1e} |"
            )
            sys.stdout.flush()
        problems += cut(store, folder / "cut", options, arguments.rates[0])
    print("\n" + ("\n".join(problems) or "a cut cable ended both ranks, and left a whole run"))
    sys.exit(1 if problems else 0)


@contextmanager
def cable(rate: str) -> Iterator[None]:
    """Two namespaces that are connected inside the `with` block."""
    remove_namespaces()
    for namespace in NAMESPACES:
        call("ip", "netns", "add", namespace)
    call("ip", "link", "add", CABLE[0], "type", "veth", "peer", "name", CABLE[1])
    try:
        for namespace, end, address in zip(NAMESPACES, CABLE, ADDRESSES, strict=True):
            call("ip", "link", "set", end, "netns", namespace)
            inside = ("ip", "-n", namespace)
            call(*inside, "addr", "add", f"{address}/24", "dev", end)
            call(*inside, "link", "set", end, "up")
            call(*inside, "link", "set", "lo", "up")
            shape = ("tbf", "rate", rate, "burst", "256kb", "latency", "50ms")
            call("tc", "-n", namespace, "qdisc", "add", "dev", end, "root", *shape)
        yield
    finally:
        remove_namespaces()


def remove_namespaces() -> None:
    for namespace in NAMESPACES:
        with suppress(subprocess.CalledProcessError):
            call("ip", "netns", "del", namespace)


def started(arguments: Sequence[str]) -> list[subprocess.Popen[str]]:
    """The program as rank 0 in the first namespace and rank 1 in the second."""
    shared = os.environ | {
        "MASTER_ADDR": ADDRESSES[0],
        "MASTER_PORT": "29500",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "1",
    }
    return [
        subprocess.Popen(
            ["ip", "netns", "exec", namespace, PROGRAM, *arguments],
            env=shared | {"RANK": str(rank), "LOCAL_RANK": "0", "GLOO_SOCKET_IFNAME": end},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, (namespace, end) in enumerate(zip(NAMESPACES, CABLE, strict=True))
    ]


def cut(store: Path, run: Path, options: Sequence[str], rate: str) -> list[str]:
    """Cut the cable in the middle of a training; what did not hold, in words."""
    endless = ["--set=training.updates=100000", f"--set=training.rank_timeout={TIMEOUT}"]
    with cable(rate):
        ranks = started(["train", str(store), str(run), *options, *endless])
        metrics = run / "metrics.jsonl"
        while not (metrics.is_file() and metrics.read_text().count("\n") >= 3):
            time.sleep(0.1)
            if None not in [rank.poll() for rank in ranks]:
                break
        call("ip", "-n", NAMESPACES[1], "link", "set", CABLE[1], "down")
        began, bound = time.monotonic(), TIMEOUT + 4 * ANSWER_SECONDS
        codes, said = list[int](), list[str]()
        for rank in ranks:
            try:
                said.append(rank.communicate(timeout=began + bound - time.monotonic())[1])
            except subprocess.TimeoutExpired:
                rank.kill()
                said.append(rank.communicate()[1])
            codes.append(rank.returncode)
    print(f"\nafter a cut: exit codes {codes} in {time.monotonic() - began:.0f} s")
    print("\n".join(line for text in said for line in text.splitlines() if "error:" in line))
    problems = [] if codes == [LOST_RANK] * 2 else [f"a cut cable: exit codes {codes}", *said]
    try:
        run_program("describe", str(run), "--verify")
    except subprocess.CalledProcessError:
        problems.append("the run is not whole after a cut")
    return problems


def call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
