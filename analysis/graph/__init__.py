"""Reading the graph, without running it.

`survey.py` asks everything once; `sources.py` has the idea that the others stand on: which initialisers a value is made
of, and where weights meet data.
"""
