"""The line editor of `translate`: type a sentence, read its translation."""
