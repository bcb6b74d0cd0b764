"""The only training loop, and all that keeps it exact: plan, memory, optimiser, checkpoints, stops."""
