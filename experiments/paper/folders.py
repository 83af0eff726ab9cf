"""What the folder of a reproduction holds, beside its cells and its mark."""

DATA, RESULTS, REPORT = "data", "results.json", "report.html"

CODES = "codes.npz"
"""What the cell of a tokenizer holds beside its result."""
