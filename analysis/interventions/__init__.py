"""Treatments: recipes, no tensors.

`contract.py` says what a treatment and a recipe are, `shelf` has one treatment per file, `kit` what they are made of,
`plan.py` which combinations are worth measuring.
"""
