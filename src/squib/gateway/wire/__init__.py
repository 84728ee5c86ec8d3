"""AWS wire protocols as pure functions: bytes to members of the service model, and back."""
