"""Building blocks: experts, gates, codebooks."""
