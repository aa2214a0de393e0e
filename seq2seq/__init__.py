"""Tensors in, tensors and scores out: RNN encoder-decoders with selectable attention."""
