"""Text of a validation set that another tool has changed."""

from data.health.changed_text import changed_validation_text

PLAIN = [f"A man and {n} dogs, all of them brown, are outside." for n in range(30)]


def test_plain_text_is_no_finding():
    assert changed_validation_text(PLAIN, PLAIN) == []


def test_each_side_is_named_with_its_counts():
    tokenised = [line.replace(",", " ,") for line in PLAIN]
    escaped = [line.replace("A", "&quot;A") for line in PLAIN]
    found = changed_validation_text(escaped, tokenised)
    assert [(finding.code, finding.count) for finding in found] == [
        ("escaped", 30), ("tokenised", 30),
    ]  # fmt: skip
    assert found[0].message.startswith("30 of 30 sources of the validation set")
    assert found[1].message.startswith("30 of 30 targets of the validation set")


def test_a_side_in_one_case_is_named():
    lower = [line.lower() for line in PLAIN]
    (finding,) = changed_validation_text(PLAIN, lower)
    assert finding.message.startswith("the targets of the validation set are all lower case")
    (finding,) = changed_validation_text(lower, PLAIN)
    assert finding.message.startswith("the sources of the validation set are all lower case")
