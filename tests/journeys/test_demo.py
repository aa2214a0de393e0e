"""The whole demo, with a few seconds of training."""

from program import call


def test_the_demo_does_the_whole_main_job(tmp_path):
    result = call(
        "demo", tmp_path / "demo", "--minutes", "0.05", "--threads", "1", "--target-language", "ja"
    )
    assert result.code == 0, result.err
    assert "new combinations" in result.out and "new names" in result.out
    assert result.out.count("BLEU|nrefs:1|") == 2  # a signature for each held-out set
    assert result.out.count("reference ") >= 11
    assert "⏎" in result.out  # the alignment table
    assert result.err.count("\nseq2seq ") == 3  # the commands to try next
    again = call("translate", tmp_path / "demo" / "run", stdin=b"cat face\n\n")
    assert len(again.lines) == 2 and again.lines[1] == ""
