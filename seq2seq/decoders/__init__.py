"""Decoders: the same mathematics as `unroll` for training, and as `bind` and `step` for search."""
