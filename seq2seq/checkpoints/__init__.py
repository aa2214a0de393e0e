"""Checkpoints: safetensors and JSON under a SHA-256 manifest."""
