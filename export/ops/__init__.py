"""What operators mean in integers."""
