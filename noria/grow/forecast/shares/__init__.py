"""Shares to come: every draw sums to one."""
