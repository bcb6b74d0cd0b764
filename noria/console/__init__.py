"""Web pages over the same functions the command line calls."""
