"""References and two translations of them with random faults, always the same."""

import random

WORDS = ["a", "man", "in", "the", "street", "rides", "his", "red", "bicycle", "past", "two"]


def noisy_texts() -> tuple[list[str], list[str], list[str]]:
    """40 references, translations with many faults, and translations with fewer."""
    rng = random.Random(1)
    references = [" ".join(rng.choices(WORDS, k=rng.randint(5, 12))) for _ in range(40)]

    def faulty(line: str, share: float) -> str:
        return " ".join(rng.choice(WORDS) if rng.random() < share else w for w in line.split())

    many, fewer = ([faulty(line, share) for line in references] for share in (0.2, 0.16))
    return references, many, fewer
