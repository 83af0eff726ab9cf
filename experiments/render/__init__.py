"""Results written into the documents: every table of them comes from ``benchmarks/results``."""
