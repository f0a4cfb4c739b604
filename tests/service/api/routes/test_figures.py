"""Figures are there for Prometheus to read."""

from http import HTTPStatus

from prometheus_client.parser import text_string_to_metric_families

from tests.service.application import Service


def test_the_figures_are_what_prometheus_reads(service: Service) -> None:
    service.submit()
    response = service.get("/metrics")
    assert response.status_code == HTTPStatus.OK
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    states = {sample.labels["state"]: sample.value for sample in families["gradient_health_jobs"].samples}
    assert states["queued"] == 1
