"""The list of deliberate faults fits the code and the tests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FAULT = {
    "id": "a-fault",
    "what": "A position is one too far.",
    "file": "code.py",
    "old": "x + 1",
    "new": "x + 2",
    "tests": ["test_code.py", "test_code.py::test_sums[case]"],
}


def check(*options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts/mutations", "--check", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def check_list(folder, *faults) -> subprocess.CompletedProcess[str]:
    (folder / "code.py").write_text("y = x + 1\nz = x + 3\n")
    (folder / "test_code.py").write_text("def test_sums(): ...\n")
    tables = ["\n".join(f"{k} = {json.dumps(v)}" for k, v in fault.items()) for fault in faults]
    faults_toml = folder / "faults.toml"
    faults_toml.write_text("".join(f"[[fault]]\n{table}\n" for table in tables))
    return check("--tree", folder, "--list", faults_toml)


def test_every_fault_fits_the_code_and_names_tests_that_exist():
    done = check()
    assert done.returncode == 0, done.stderr


def test_a_fault_that_fits_is_accepted(tmp_path):
    assert check_list(tmp_path, FAULT).returncode == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"old": "x + 5"}, "occurs 0 times in code.py"),
        ({"old": "x + "}, "occurs 2 times in code.py"),
        ({"new": "x + 1"}, "changes nothing"),
        ({"file": "gone.py"}, "there is no gone.py"),
        ({"tests": ["test_gone.py"]}, "there is no test_gone.py"),
        ({"tests": ["test_code.py::test_gone"]}, "there is no test_code.py::test_gone"),
        ({"tests": []}, "names no tests"),
        ({"more": 1}, "is not a list of faults"),
    ],
)
def test_a_fault_that_does_not_fit_is_refused(tmp_path, change, problem):
    done = check_list(tmp_path, FAULT | change)
    assert done.returncode == 2
    assert problem in done.stderr


def test_an_id_that_occurs_twice_is_refused(tmp_path):
    done = check_list(tmp_path, FAULT, FAULT)
    assert done.returncode == 2
    assert "several faults with the id a-fault" in done.stderr
