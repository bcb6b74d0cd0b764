"""Batches -> a trained model: objectives, the only training loop, checkpoints, recipes."""

import os

# torch reads this once, at its first allocation: blocks over 2 MB in large pages, where the system has them to give. A step of
# pretraining takes a tenth less time so.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
