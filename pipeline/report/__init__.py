"""What people read of a run: the page, the model card, the terminal's tables. Reads `report.json`, computes nothing new."""
