"""The truth of a gallery: one SQLite file of people, faces and notes."""
