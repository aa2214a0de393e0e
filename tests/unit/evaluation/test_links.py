"""Files of links that people drew, and links of two directions made one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.errors import CorpusError
from seq2seq.evaluation.links import (
    ReferenceLinks,
    parse_reference_links,
    refuse_links_beyond,
    symmetrize,
)

LINKS = st.frozensets(st.tuples(st.integers(0, 5), st.integers(0, 5)))


def parsed(*lines: str, sentences: int | None = None, base: int | None = None):
    count = len(lines) if sentences is None else sentences
    return parse_reference_links(lines, name="links", sentences=count, base=base)


def links(sure=(), possible=()) -> ReferenceLinks:
    return ReferenceLinks(frozenset(sure), frozenset(possible))


def test_pharaoh_has_sure_and_possible_links_from_0():
    assert parsed("0-0 2-1\t3?1 4p0", "") == [links({(0, 0), (2, 1)}, {(3, 1), (4, 0)}), links()]


def test_naacl_has_a_link_a_line_from_1_and_word_0_is_none():
    found = parsed("0001 1 2 S", "1 3 1 P 0.7", "", "0003 2 2", "3 0 1", "3 1 0 s", sentences=4)
    assert found == [links({(0, 1)}, {(2, 0)}), links(), links({(1, 1)}), links()]


def test_the_first_word_may_have_another_number():
    assert parsed("1-1", base=1) == [links({(0, 0)})]
    assert parsed("1 0 0", base=0) == [links({(0, 0)})]


@pytest.mark.parametrize(
    ("lines", "base", "said"),
    [
        (["0-0", "0-x"], None, "links:2: '0-x' is not an alignment link"),
        (["1 1 1 S", "0-0"], None, "links:1: '1' is not an alignment link"),
        (["1-1 0-1"], 1, "links:1: '0-1' links a word before word 1"),
        (["3 1 1 S"], None, "links:1: there is no sentence 3, the text has 1"),
        (["0 1 1"], None, "links:1: there is no sentence 0"),
        (["1 1 1 X"], None, "links:1: '1' is not an alignment link"),
    ],
)
def test_anything_else_is_refused_with_its_line(lines, base, said):
    with pytest.raises(CorpusError) as caught:
        parsed(*lines, sentences=len(lines), base=base)
    assert said in caught.value.message and caught.value.hint


def test_a_file_of_another_length_is_refused():
    with pytest.raises(CorpusError, match="has links of 1 sentences, but the text has 2"):
        parsed("0-0", sentences=2)


def test_a_link_beyond_the_words_of_its_sentence_is_refused():
    found = parsed("0-0", "0-0 2?1")
    refuse_links_beyond(found, [(1, 1), (3, 2)], name="links")
    with pytest.raises(CorpusError, match="sentence 2 has a link of source word 3 and target"):
        refuse_links_beyond(found, [(1, 1), (2, 2)], name="links")


def test_the_hint_names_the_base_where_it_would_help():
    for line, helps in (("1-1 2-2", True), ("0-0 2-2", False), ("1-1 3-3", False)):
        with pytest.raises(CorpusError) as caught:
            refuse_links_beyond(parsed(line), [(2, 2)], name="links")
        assert ("--gold-base 1" in caught.value.hint) == helps


def test_grow_diag_final_and_by_hand():
    forward = {(0, 0), (1, 1), (2, 1), (3, 3)}
    backward = {(0, 0), (1, 1), (1, 2), (3, 4)}
    # (2, 1) and (1, 2) are beside (1, 1) and bring a free word; (3, 3) has two free words, and then
    # (3, 4) has one only
    expected = {(0, 0), (1, 1), (2, 1), (1, 2), (3, 3)}
    assert symmetrize(forward, backward, "grow-diag-final-and") == expected
    assert symmetrize(forward, backward, "intersection") == {(0, 0), (1, 1)}
    assert symmetrize(forward, backward, "union") == forward | backward


def test_growth_goes_on_from_links_that_were_added():
    chain = {(0, 0), (0, 1), (0, 2), (1, 3)}
    # (1, 3) is diagonal to (0, 2), which is beside (0, 1), which is beside (0, 0)
    assert symmetrize({(0, 0)}, chain, "grow-diag-final-and") == chain


def published(forward, backward):
    """The loops of Koehn et al. (2005), figure of section 2, as they are printed there."""
    alignment, union = set(forward & backward), forward | backward
    neighbours = [(-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)]

    def aligned(side, word):
        return any(link[side] == word for link in alignment)

    added = True
    while added:
        added = False
        for e in range(6):
            for f in range(6):
                if (e, f) not in alignment:
                    continue
                for step in neighbours:
                    new = (e + step[0], f + step[1])
                    is_free = not aligned(0, new[0]) or not aligned(1, new[1])
                    if is_free and new in union:
                        alignment.add(new)
                        added = True
    for direction in (forward, backward):
        for e in range(6):
            for f in range(6):
                if not aligned(0, e) and not aligned(1, f) and (e, f) in direction:
                    alignment.add((e, f))
    return alignment


@given(LINKS, LINKS)
def test_grow_diag_final_and_is_the_published_algorithm(forward, backward):
    assert symmetrize(forward, backward, "grow-diag-final-and") == published(forward, backward)


@given(LINKS, LINKS)
def test_it_lies_between_intersection_and_union(forward, backward):
    found = symmetrize(forward, backward, "grow-diag-final-and")
    assert forward & backward <= found <= forward | backward
