"""The robustness audit: what corruption does to the exact bytes of a model."""
