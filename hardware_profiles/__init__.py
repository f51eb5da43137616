"""What a hardware target offers, and what a network costs on it. Torch-free; imports no other package of ours."""
