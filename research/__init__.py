"""Studies, peers and measurements behind docs/results; run from a checkout, not in the wheel."""
