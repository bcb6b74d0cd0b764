"""Customer service: a question gets an answer that is known to be right, or a person."""
