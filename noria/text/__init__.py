"""Text as people have it: one reader of every format and encoding."""
