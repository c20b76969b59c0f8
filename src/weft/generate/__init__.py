"""Generation: one search loop for every model that predicts a next token."""
