"""The paper's tables and figures, cell by cell."""
