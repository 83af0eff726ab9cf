"""Every figure of the documents and of the paper: what is measured, over which seeds."""
