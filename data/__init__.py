"""Raw lines become clean pairs, token ids, a token store and batches."""
