"""Model families: frozen configs and the builders that turn them into bricks."""
