"""Site-Net as a model family: features, batches, configuration, cost."""
