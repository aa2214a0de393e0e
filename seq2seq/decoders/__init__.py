"""Decoders: the same mathematics through two doors, `unroll` for training and `step` for search."""
