"""The proof on an emulated core: every byte, and what it costs."""
