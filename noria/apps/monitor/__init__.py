"""Opinion monitoring: a stream of texts to topics, sentiment and alarms."""
