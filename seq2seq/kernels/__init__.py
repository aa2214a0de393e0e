"""Computations that the layers share: fused loss, deferred gradients, dropout, precision."""
