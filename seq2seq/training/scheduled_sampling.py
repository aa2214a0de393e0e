"""Scheduled sampling: the decoder learns to continue from its own predictions."""

from dataclasses import replace

import torch

from seq2seq.batch import BOS, EOS, PAD, UNK, Batch
from seq2seq.kernels.dropout import drawn_rows
from seq2seq.model import EncoderDecoder
from seq2seq.system.streams import stream_seed

_NEVER_INPUT = [PAD, UNK, BOS, EOS]  # pieces that a search never writes or never continues from


def sample_decoder_input(
    model: EncoderDecoder, batch: Batch, probability: float, generator: torch.Generator
) -> Batch:
    """Replace each token of the decoder's input by the model's prediction, with a probability.

    Bengio et al. (2015) predict each token from the one before, itself sampled. Here, as Mihaylova
    & Martins (2019) and Duckworth et al. (2019) do it, a first pass on the references makes all
    predictions at once: it works with any decoder and costs one forward pass. The prediction is the
    likeliest piece, in evaluation mode: without dropout, as in translation. Labels, BOS and padding
    are never changed.
    """
    was_training = model.training
    model.eval()
    with torch.no_grad():
        readouts, _, bias = model.unroll(batch)
        but_last = slice(None), slice(-1)
        own_bias = None if bias is None else bias.at(but_last)
        logits = model.logits(readouts[but_last], own_bias)  # [B, T-1, V']
    model.train(was_training)
    ids = model.output.ids  # [V']
    never = torch.isin(ids, torch.tensor(_NEVER_INPUT, device=ids.device))
    predictions = ids[logits.masked_fill(never, float("-inf")).argmax(-1)]  # [B, T-1]
    inputs = batch.decoder_input  # [B, T]
    uniform = drawn_rows(
        predictions.shape, lambda shape: torch.rand(shape, generator=generator), batch.share
    )
    drawn = uniform.to(predictions.device) < probability
    replaced = drawn & (batch.labels[:, 1:] != PAD)  # inputs whose label is padding stay
    mixed = torch.cat([inputs[:, :1], predictions.where(replaced, inputs[:, 1:])], dim=1)
    return replace(batch, decoder_input_ids=mixed)


def sampling_generator(seed: int, update: int) -> torch.Generator:
    """The random stream of one update for this use alone, so that dropout draws the same."""
    sampling_seed = stream_seed("scheduled_sampling", seed, update, bits=63)
    return torch.Generator().manual_seed(sampling_seed)
