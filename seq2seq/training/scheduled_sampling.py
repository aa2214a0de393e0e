"""Scheduled sampling: the decoder learns to read what it wrote itself."""

from dataclasses import replace

import torch

from seq2seq.batch import BOS, EOS, PAD, UNK, Batch
from seq2seq.model import EncoderDecoder
from seq2seq.system.streams import stream_seed

_NEVER_READ = [PAD, UNK, BOS, EOS]  # what a search never writes, or never reads on from


def mixed_batch(
    model: EncoderDecoder, batch: Batch, *, probability: float, chance: torch.Generator
) -> Batch:
    """A batch whose decoder reads its own guess, not the reference, with a probability.

    Bengio et al. (2015) let a token be read that was written one step before, itself in a sentence
    that was already mixed. Here, as Mihaylova & Martins (2019) and Duckworth et al. (2019) do it, a
    first pass reads the references alone, and all guesses are mixed in at once: any decoder can,
    and it costs one forward pass. The guess is the likeliest word, in evaluation mode: without
    dropout, as a translation would have it. Labels, BOS and padding are never changed.
    """
    if not probability:
        return batch
    was_training = model.training
    model.eval()
    with torch.no_grad():
        logits = model.logits(model.unroll(batch).readouts[:, :-1])  # [B, T-1, V]
    model.train(was_training)
    logits[..., _NEVER_READ] = float("-inf")
    inputs, guesses = batch.decoder_input, logits.argmax(-1)  # [B, T], [B, T-1]
    drawn = torch.rand(guesses.shape, generator=chance).to(guesses.device) < probability
    own = drawn & (batch.labels[:, 1:] != PAD)  # what is read where nothing is written stays
    decoder_input_ids = torch.cat([inputs[:, :1], guesses.where(own, inputs[:, 1:])], dim=1)
    return replace(batch, decoder_input_ids=decoder_input_ids)


def update_chance(seed: int, update: int) -> torch.Generator:
    """The stream of chance of an update for this use alone, so that dropout draws the same."""
    seed_of_update = stream_seed("scheduled_sampling", seed, update, bits=63)
    return torch.Generator().manual_seed(seed_of_update)
