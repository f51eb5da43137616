"""Networks in torch: a supernet with shared weights, and the plain subnets that come out of it."""
