"""The front door: from a name or a path to a config, a tokenizer or a model."""
