"""Vectors to matches: the store on disk, the index derived from it, the threshold."""
