"""What is found out about an ID table, as figures, as plots and as a page to look at."""
