"""What our C firmware makes of a network, and what that costs."""
