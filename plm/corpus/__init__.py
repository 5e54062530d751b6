"""Raw text to examples of pretraining."""
