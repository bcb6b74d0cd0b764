"""What is minimised: the next token, masked tokens, cut spans, labels."""
