"""Report -> OpenMetrics text: for GitLab's metrics reports, a Pushgateway, or a textfile collector.

Every number is a gauge with the name of where it stands in the report; the verdict is a state set. Written by the
library that also serves `/metrics`. Format: https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, StateSetMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector

from analysis.render._visible import visible
from analysis.report import Report, Severity, Verdict
from analysis.report.numbers import numbers_of

PREFIX: Final = "gradient_health_"


class _Families(Collector):
    """What the library asks for metrics."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        """Verdict, findings by severity, then all numbers."""
        report = self._report
        told = {"model": report.model.name, "sha256": report.model.sha256, "version": report.engine.version}
        yield InfoMetricFamily(f"{PREFIX}report", "What was analysed, and by which version", _shown(told))
        states = {verdict.value: verdict is report.verdict for verdict in Verdict}
        yield StateSetMetricFamily(f"{PREFIX}verdict", "verdict in the report", states)
        counts = GaugeMetricFamily(f"{PREFIX}findings", "How many findings there are", labels=("severity",))
        for severity in Severity:
            counts.add_metric((severity.value,), sum(each.severity is severity for each in report.findings))
        yield counts
        yield from _gauges(report)


def render_openmetrics(report: Report) -> str:
    """The text, up to its `# EOF`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(report))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text.decode()


def _gauges(report: Report) -> Iterator[Metric]:
    families: dict[str, GaugeMetricFamily] = {}
    for number in numbers_of(report):
        family = families.get(number.name)
        if family is None:
            labels = tuple(number.labels)
            family = GaugeMetricFamily(f"{PREFIX}{number.name}", f"{number.place} in the report", labels=labels)
            families[number.name] = family
        family.add_metric(tuple(_shown(number.labels).values()), number.value)
    yield from families.values()


def _shown(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: visible(value) for name, value in labels.items()}
