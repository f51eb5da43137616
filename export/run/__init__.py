"""Files run, here: one way to run any of them, and how far runtimes agree."""
