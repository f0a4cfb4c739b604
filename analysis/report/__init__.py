"""What an analysis concludes, as it is published.

`document.py` has the report as a whole, `parts.py` what it is made of, `gate.py` whether it fails a pipeline.
"""

from analysis.report.document import Report, Variant
from analysis.report.parts import Advice, Evidence, Finding, Remedy, Severity, Verdict

__all__ = ["Advice", "Evidence", "Finding", "Remedy", "Report", "Severity", "Variant", "Verdict"]
