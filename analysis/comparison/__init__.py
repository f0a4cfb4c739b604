"""Two reports, whatever version wrote them: what became of each finding.

Open `compare.py` first.
"""
