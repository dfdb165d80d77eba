"""Training of the ranker: examples as serving would ask them, losses of the scoring forms, LoRA."""
