"""Side-by-side measurements. Each module prints JSON lines; `python -m benchmarks NAME` runs one."""
