"""The shelf of formats: one file turns a Report into one kind of text, without arithmetic.

Open `formats.py` first: it lists them.
"""
