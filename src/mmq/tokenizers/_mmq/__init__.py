"""The MMQ tokenizer: settings, network, stage 1, estimator."""
