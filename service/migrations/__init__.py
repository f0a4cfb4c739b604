"""How the tables came to be what they are: `versions` has one change a file, `upgrade` makes those that are missing."""
