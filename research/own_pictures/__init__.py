"""Own pictures: benchmark sets built from what registries hold, a plain baseline, and ways to transfer compared."""
