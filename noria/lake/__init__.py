"""What is durable: events made safe before they are acknowledged, sealed by day, reconciled, erased and read."""
