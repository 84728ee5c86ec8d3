"""What tests of the whole stand on: a squib of their own, functions on it, and the traces it may leave."""
