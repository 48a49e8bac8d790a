"""How good is it: pure numpy on arrays. No file, no clock, no print."""
