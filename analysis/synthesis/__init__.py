"""A batch made up for a graph that nobody sent one with.

Open first: `synthesize.synthesize_batch`. What each input is for is read off the graph (`kinds`), at which scale its
numbers are expected (`scales`); sizes that the graph leaves open and the range of ids are found by running it on one
sample (`trial`, `sizes`, `ids`); then the numbers are drawn (`draw`).
"""
