"""The command line: the one place that knows both ends of the wheel."""
