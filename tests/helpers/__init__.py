"""What several test modules need. No test imports another test."""
