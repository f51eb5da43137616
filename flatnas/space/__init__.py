"""What can be searched: the genes of a network, and what a network of these genes costs."""
