"""Data sets of a team: uploads read whole or counted, labelled, checked and kept as versions by the hash of their content."""
