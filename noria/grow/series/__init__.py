"""Market series: their files, their provenance, their calendar and their units."""
