"""What the tests are made of: the API server, the operator's process, fake nodes, simulated load."""
