"""Study sheets: what a table of results says of itself, and the rules that it is held to."""
