"""Documents -> batches."""
