"""A report as one HTML page, as pictures, or as lines of text."""
