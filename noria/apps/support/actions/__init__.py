"""What is done for a customer: named fields asked for one by one, then a signed call of the team's own system, answered by a template."""
