"""Passes by hand: forward and backward of the layers that training spends its time in, as transformers computes them."""
