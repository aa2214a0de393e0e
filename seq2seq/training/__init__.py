"""The training loop, its losses, its optimizer and what it reports."""
