"""What a network costs, whoever lowered it: operators, arena, latency, and what a change of it would cost."""
