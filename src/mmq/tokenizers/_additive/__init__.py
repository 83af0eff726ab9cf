"""Additive quantisation: IDs whose codewords add up, fitted by least squares and sweeps."""
