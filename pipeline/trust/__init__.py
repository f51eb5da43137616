"""What a run directory proves: files that agree with each other, who signed them, and what they were made of."""
