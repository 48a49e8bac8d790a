"""The verbs: a frozen config in, a frozen result out."""
