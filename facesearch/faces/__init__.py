"""Pixels: photo files in, aligned crops out."""
