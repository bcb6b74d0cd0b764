"""Applications on top of the server: customer service, opinion monitoring, recommendation."""
