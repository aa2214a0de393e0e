"""Every second of a training is charged to one part, and measuring changes nothing."""

import pytest
from reruns import new_run, remains, train

from seq2seq.training.stopwatch import Stopwatch


def test_every_second_goes_to_the_innermost_part():
    now = [0.0]
    watch = Stopwatch(clock=lambda: now[0])

    def work(seconds: float) -> None:
        now[0] += seconds

    work(1)
    with watch.part("loss"):
        work(2)
        with watch.part("encoder"):
            work(4)
        work(1)
    with pytest.raises(ZeroDivisionError), watch.part("data"):
        work(2)
        raise ZeroDivisionError
    assert watch.shares == {"encoder": 0.4, "loss": 0.3, "data": 0.2, "the rest": 0.1}
    assert watch.describe() == (
        "where the time went: encoder 40%, loss 30%, data 20%, the rest 10%"
    )


def test_a_profile_reports_every_part_and_changes_no_byte(tmp_path, store):
    plain, watched = (
        new_run(tmp_path / "plain", store),
        new_run(tmp_path / "watched", store, training={"profile": True}),
    )
    train(plain, store)
    _, reporter = train(watched, store)
    assert remains(plain) == remains(watched)
    assert len(reporter.messages) == 7  # what is kept and validated, four validations and the end
    for part in ("data", "loss", "backward", "optimizer", "validation"):
        assert f"{part} " in reporter.messages[-1]
    assert train(watched, store)[1].messages == []
