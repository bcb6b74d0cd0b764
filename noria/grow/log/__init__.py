"""A log of who did what and when, from the lake or any table, read so that every row counts or is set aside in words."""
