"""The report: one page of figures with their proof, charts and tables."""
