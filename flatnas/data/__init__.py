"""Data sets: what training, search and audit see, from the user's disk, a download or a package."""
