"""JSON Schema for the simulator: reading one, making an instance of it, and checking the instance before it is told."""
