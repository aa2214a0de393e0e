"""What is drawn on the terminal and typed into it."""
