"""Public data sets, and one that is generated."""
