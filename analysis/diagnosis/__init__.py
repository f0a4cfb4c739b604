"""From a measurement to a report.

`assemble.py` makes the whole; `rules` has one illness per file, `contract.py` what a rule is, `causes.py` which finding
explains which.
"""
