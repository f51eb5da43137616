"""Hand-written C kernels, and how they are compiled."""
