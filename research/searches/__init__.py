"""Searches beside random search: hypervolume and least error, by seed."""
