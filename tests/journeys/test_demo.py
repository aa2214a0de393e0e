"""The demo, from nothing to its last line, with a few seconds of training."""

from program import call


def test_the_demo_does_the_whole_main_job(tmp_path):
    ended = call(
        "demo", tmp_path / "demo", "--minutes", "0.05", "--threads", "1", "--target-language", "ja"
    )
    assert ended.code == 0, ended.err
    assert "new combinations" in ended.out and "new names" in ended.out
    assert ended.out.count("BLEU|nrefs:1|") == 2  # a signature for each held-out set
    assert ended.out.count("reference ") >= 11
    assert "⏎" in ended.out  # the alignment table
    assert ended.err.count("\nseq2seq ") == 3  # the commands to try next
    again = call("translate", tmp_path / "demo" / "run", given=b"cat face\n\n")
    assert len(again.lines) == 2 and again.lines[1] == ""
