"""Seeds of named random streams, so that one more draw in one place shifts no other."""

import hashlib


def stream_seed(use: str, *key: object, bits: int = 64) -> int:
    """A seed that is a function of the use's name and of a key, such as (run seed, epoch).

    `bits` is its size: 63 for `torch.manual_seed`, 64 for `random.Random`, 128 for numpy's PCG64.
    """
    size = (bits + 7) // 8  # bytes
    text = ":".join(map(str, (use, *key)))
    digest = hashlib.blake2b(text.encode(), digest_size=size).digest()
    return int.from_bytes(digest, "big") >> (8 * size - bits)


def uniform_hash(key: str) -> float:
    """A number in [0, 1) that is a function of the key alone, on every machine.

    It assigns a sentence to a split independently of all other sentences.
    """
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
