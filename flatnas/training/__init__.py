"""Training: one loop, its augmentation, its teachers."""
