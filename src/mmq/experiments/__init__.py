"""Experiments: what is run over several fits."""
