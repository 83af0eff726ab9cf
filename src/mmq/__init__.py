"""Semantic IDs for recommenders."""
