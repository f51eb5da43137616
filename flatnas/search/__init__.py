"""Search: which subnets are measured, what is measured of them, and which is taken."""
