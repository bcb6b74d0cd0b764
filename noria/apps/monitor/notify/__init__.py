"""Notifying people: subscriptions, a durable outbox, one format a service, verdicts by a link, and the daily brief."""
