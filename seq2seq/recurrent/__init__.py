"""Recurrent cells, layers of cells, and stacks of layers."""
