"""What everything stands on: no torch, no web, nothing else of noria."""
