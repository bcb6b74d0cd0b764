"""Promotion: experiments, whom to address, budget, and the plan that joins them."""
