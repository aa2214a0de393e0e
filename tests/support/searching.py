"""Search and forced decoding with one model, as tests call them."""

from collections.abc import Sequence

from tiny import Ids

from seq2seq.config import SearchConfig
from seq2seq.model import EncoderDecoder
from seq2seq.search.hypothesis import Hypothesis
from seq2seq.search.inference import SingleModel
from seq2seq.search.translation import force, translate_ids


def translate(
    model: EncoderDecoder,
    sources: Sequence[Ids],
    config: SearchConfig,
    *,
    n_best: int = 1,
    head: int | None = None,
    tags: int = 0,
    device: str = "cpu",
) -> list[list[Hypothesis]]:
    single = SingleModel(model, head=head, tags=tags, device=device)
    return translate_ids(single, sources, config, n_best=n_best)


def forced(
    model: EncoderDecoder, source: Ids, target: Ids, *, head: int | None = None, tags: int = 0
) -> Hypothesis:
    return force(SingleModel(model, head=head, tags=tags), source, target)
