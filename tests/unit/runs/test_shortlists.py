"""The shortlist of a run."""

from reruns import new_run

from cli.runs.shortlists import same_pieces, shortlist_of


def test_a_piece_can_always_be_copied(store, tmp_path):
    source, target = store.tokenizer("source"), store.tokenizer("target")
    assert same_pieces(source, target)[source.byte_ids].tolist() == target.byte_ids
    shortlist = shortlist_of(new_run(tmp_path / "run", store), 3, lambda message: None)
    assert shortlist.likely.shape == (len(source), 1 + 3)  # the piece itself, and 3 translations
    for text in ("ba ce", "日"):
        ids = source.encode(text)
        assert shortlist.likely[ids, 0].tolist() == ids  # a joint vocabulary
