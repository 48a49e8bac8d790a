"""How good it is: retrieval, pairs, strangers, and an audit of labels."""
