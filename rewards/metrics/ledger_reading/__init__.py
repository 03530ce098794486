"""SQL over the ledger for the program's figures: each question a number of statements that no shop's size changes."""
