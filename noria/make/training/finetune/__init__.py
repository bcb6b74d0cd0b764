"""Labelled rows and a base to a model folder that does the task."""
