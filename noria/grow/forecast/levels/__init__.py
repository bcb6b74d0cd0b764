"""Amounts above zero to come: growth curves, cohorts, effort."""
