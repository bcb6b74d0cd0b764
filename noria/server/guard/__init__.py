"""What goes in and what comes out, checked: personal data, blocked words, prompt injection."""
