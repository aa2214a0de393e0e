"""`seq2seq report`: what runs, comparisons and files of translations show beside each other."""
