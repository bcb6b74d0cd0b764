"""Models over HTTP: the server, its guard, and the events it records."""
