"""What stages leave behind: one value for each JSON file of a run directory, written as it is."""
