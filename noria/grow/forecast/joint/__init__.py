"""Several series that act on one another: rivals and generations."""
