"""Report -> GitLab Code Quality: a list with one entry for each finding, pinned to the first line of the model's file.

Keys: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format. The fingerprint holds neither numbers
nor layers, which may differ from one training to the next: a merge request shows what is new and what is gone.
"""

import json
from typing import Any, Final

from analysis.render._excerpts import evidence_words, fingerprint, layer_names, some_layers
from analysis.render._publication import PLAINLY, Publication
from analysis.render._visible import visible
from analysis.report import Finding, Report, Severity
from analysis.report.parts import keyed

SEVERITIES: Final = {Severity.ERROR: "critical", Severity.WARNING: "major", Severity.INFO: "info"}


def render_codequality(report: Report, publication: Publication = PLAINLY) -> str:
    """The worst first; an empty list where nothing was found."""
    path = publication.file(report)
    worst_first = sorted(keyed(report.findings), key=lambda each: -each[1].severity.rank)
    issues = [_issue(finding, key, path, report) for key, finding in worst_first]
    return json.dumps(issues, indent=1) + "\n"


def _issue(finding: Finding, key: str, path: str, report: Report) -> dict[str, Any]:
    evidence = f" Evidence: {evidence_words(report, finding)}." if finding.evidence else ""
    layers = f" Layers: {some_layers(finding.layers, layer_names(report))}." if finding.layers else ""
    return {
        "description": visible(f"{finding.message}{evidence}{layers}"),
        "check_name": visible(f"{finding.rule} {finding.name}"),
        "fingerprint": fingerprint(path, key),
        "severity": SEVERITIES[finding.severity],
        "location": {"path": visible(path.removeprefix("./")), "lines": {"begin": 1}},
    }
