"""What an analysis concludes, as it is published.

`document.py` has the report as a whole, `parts.py` what it is made of, `gate.py` whether it fails a pipeline.
"""
