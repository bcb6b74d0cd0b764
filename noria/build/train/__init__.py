"""Batches -> a trained model: objectives, the only training loop, checkpoints, recipes."""
