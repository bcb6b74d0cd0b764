"""Users: who is active, who stays, and what they are worth over time."""
