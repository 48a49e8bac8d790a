"""facesearch: train a face encoder, keep a gallery of people, and ask who is in a photo."""

__version__ = "0.1.0"
