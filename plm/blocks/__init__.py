"""Bricks: torch modules and functions that know no model names, files or tasks."""
