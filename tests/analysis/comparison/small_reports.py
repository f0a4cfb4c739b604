"""Reports written down by hand, as small as they may be: what comparisons are tested with."""

import json
from typing import Any

from analysis.comparison.excerpt import Excerpt, parse_excerpt

FOUR = ("stem", "block1", "block2", "head")


def small_report(
    verdict: str = "healthy", *findings: dict[str, Any], layers: tuple[str, ...] = FOUR, **more: Any
) -> dict[str, Any]:
    """Of a network of square linear layers with these names; `layer-1` is the first."""
    return {
        "schema_version": "1.0",
        "id": "0",
        "verdict": verdict,
        "engine": {"version": "0.1.0", "seed": 0, "effort": "standard"},
        "options": {},
        "model": {"name": "net.onnx", "sha256": "".join(layers)},
        "batch": {"sha256": "b"},
        "layers": [linear(f"layer-{number}", name) for number, name in enumerate(layers, 1)],
        "findings": list(findings),
        **more,
    }


def linear(layer_id: str, name: str) -> dict[str, Any]:
    weight = {"initializer": f"{name}.weight", "shape": [len(name), len(name)]}
    return {"id": layer_id, "name": name, "op": "Gemm", "parameters": {"weight": weight}}


def found(rule: str, severity: str, *layers: str, **margins: float | str | None) -> dict[str, Any]:
    """A finding whose evidence lies so many decades beyond thresholds of 1."""
    names = {
        "GH101": "vanishing-gradient",
        "GH201": "dead-units",
        "GH105": "does-not-learn",
        "GH303": "scale-imbalance",
    }
    evidence = {name: {"value": 2.0, "threshold": 1.0, "margin_decades": margin} for name, margin in margins.items()}
    return {
        "rule": rule,
        "name": names[rule],
        "severity": severity,
        "confidence": "high",
        "layers": list(layers),
        "evidence": evidence,
    }


def excerpt(report: dict[str, Any]) -> Excerpt:
    return parse_excerpt(json.loads(json.dumps(report)), "by hand")


WORSE_OLD = small_report(
    "at_risk",
    found("GH303", "warning", "layer-1", "layer-4", spread=0.5),
    found("GH201", "warning", "layer-2", dead=0.2),
    found("GH105", "info"),
    gradient_flow={"decades_rms": -0.5},
    remedies=[{"variant": "relu"}],
)
WORSE_NEW = small_report(
    "unhealthy",
    found("GH101", "error", "layer-1", "layer-2", flow=1.0),
    found("GH201", "warning", "layer-4", dead=0.2),
    found("GH105", "info"),
    layers=("stem", "inserted", "block1", "tail"),
    engine={"version": "0.1.0", "seed": 1, "effort": "standard"},
    gradient_flow={"decades_rms": -3.5},
    remedies=[{"variant": "he"}],
)
"""One finding lost, one moved, one gained, one as it was; a layer more, another seed."""
