"""Which variants are measured, and which of them hold.

Open `experiment.py` first.
"""
