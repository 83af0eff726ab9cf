"""The RQ-VAE tokenizer: settings, network, training, estimator."""
