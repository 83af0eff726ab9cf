"""Figures of merit as pure numpy functions: quantisation, retrieval, ranking. No torch."""
