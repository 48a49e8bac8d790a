"""Crops to vectors: the encoder, how it is trained, how it is run."""
