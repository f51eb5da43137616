"""Find and train the network: data, corruptions, search space, supernet, flatness, search. Torch-free until used."""
