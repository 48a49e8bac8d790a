"""What makes a gallery fast to search: files derived from the store."""
