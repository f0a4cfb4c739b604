"""What treatments are made of: graph edits on a copy, places in a graph, draws for its weights."""
