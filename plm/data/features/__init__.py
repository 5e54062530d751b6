"""Examples to features: one file for each kind of task."""
