"""What people read of a run: page, model card, terminal tables. Reads `report.json` and computes nothing new."""
