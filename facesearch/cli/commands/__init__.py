"""One module a command, or two that belong together."""
