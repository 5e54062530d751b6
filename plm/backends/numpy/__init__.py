"""The `numpy` backend: the forward pass in NumPy alone, without torch, and a witness for all other backends."""
