"""One change of the tables a file; a change that was released is never edited, another one follows it."""
