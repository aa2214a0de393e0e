"""Files of results: nothing measured is lost, and no limit is mixed with another."""

import argparse
import threading

import pytest
from installed import refuse_other_limit
from results import measure_all, read_results


def test_a_result_is_in_the_file_before_an_earlier_item_is_done(tmp_path):
    path, first_may_end = tmp_path / "results.jsonl", threading.Event()

    def measure(item: int) -> dict[str, int]:
        if item == 1:
            assert first_may_end.wait(10)
        return {"item": item}

    results = measure_all([1, 2], measure, path, jobs=2)
    assert next(results) == {"item": 2} and read_results(path) == [{"item": 2}]
    first_may_end.set()
    assert [*results] == [{"item": 1}] and len(read_results(path)) == 2


def test_a_folder_of_quick_tries_is_not_taken_for_the_measurement(tmp_path):
    quick = argparse.Namespace(minutes=15.0, updates=5)
    refuse_other_limit(tmp_path, quick)
    refuse_other_limit(tmp_path, quick)
    with pytest.raises(SystemExit, match=r"begun with --set=training.updates=5, not --minutes=15"):
        refuse_other_limit(tmp_path, argparse.Namespace(minutes=15.0, updates=None))
