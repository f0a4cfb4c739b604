"""Pages of reports, parsed; and reports full of hostile names."""

import math
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

from analysis.facts import (
    ActivationGradient,
    Confidence,
    LayerStats,
    Measurement,
    Probe,
    Range,
    SampleGradients,
    TimeProfile,
)
from analysis.render.html import render_html
from analysis.report import Advice, Evidence, Report, Severity
from analysis.report.document import LeftOut
from analysis.report.parts import AdviceKind, Decades
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, layer, measurement, probe, run, stats
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.diagnosis.trials import trained, trial

VOID = {"meta", "br", "hr", "img", "link", "input"}
VANISHING = flow(-6.0, leverage_log10=Range(least=-4.0, largest=1.0))


@dataclass
class Element:
    """A tag with what is in it."""

    tag: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    def all(self, tag: str, **attributes: str) -> list["Element"]:
        """Those below, in order."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if child.tag == tag and all(child.attributes.get(k) == v for k, v in attributes.items()):
                    found.append(child)
                found += child.all(tag, **attributes)
        return found

    @property
    def text(self) -> str:
        parts = (child if isinstance(child, str) else child.text for child in self.children)
        return " ".join("".join(parts).split())

    @property
    def value(self) -> float:
        """The number a cell carries, whole."""
        (data,) = self.all("data")
        return float(data.attributes["value"])


class Parser(HTMLParser):
    """Strict: what is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Element("root", {})
        self.open = [self.root]
        self.declaration = ""

    def handle_decl(self, decl: str) -> None:
        self.declaration = decl

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parsed(page: str) -> Element:
    parser = Parser()
    parser.feed(page)
    parser.close()
    assert parser.declaration == "doctype html"
    assert parser.open == [parser.root]
    return parser.root


def page_of(report: Report) -> Element:
    return parsed(render_html(report))


def rows(page: Element, table: str) -> list[list[Element]]:
    """Cells of the body of a table, row by row."""
    (found,) = page.all("table", id=table)
    (body,) = found.all("tbody")
    return [[cell for cell in row.children if isinstance(cell, Element)] for row in body.all("tr")]


def summary(row: list[Element]) -> str:
    """What a row is called: the line of its first cell that is there while its details are folded."""
    (words, *_) = row[0].all("summary")
    return words.text


def facts(page: Element, heading: str) -> list[tuple[str, str]]:
    """Names and values under a heading."""
    (box,) = [each for each in page.all("div") if [own.text for own in each.all("h3")] == [heading]]
    return [(row.all("th")[0].text, row.all("td")[0].text) for row in box.all("tr")]


def profiled(*rms: float | None, first: int = 1) -> tuple[LayerStats, ...]:
    """Layers with these activation gradients."""
    return tuple(
        stats(first + place, activation_gradient=None if each is None else ActivationGradient(rms=each, norm=8 * each))
        for place, each in enumerate(rms)
    )


RECURRENT = measurement(
    recurrent=True,
    through_time=(
        TimeProfile(node="/lstm", direction="forward", gradient_log10=(-6.0, -5.0, -4.5, -3.0), horizon_steps=2),
        TimeProfile(node="/lstm", direction="reverse", gradient_log10=(-3.0, -math.inf), growth_decades=0.5),
    ),
)
HOSTILE = (
    "</title></style></svg><script>alert(1)</script>",
    '" onload="alert(1)" x=\'',
    "' onmouseover='alert(1)",
    "<img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "]]>&#60;b&gt;<!--",
    "\u202egnp.exe\u2066\u200b\u00ad\ufeff",
    "\x00\x1b[31m\x7f\x85\u2028\n\ud800",
)


def every(element: Element) -> list[Element]:
    below = [child for child in element.children if isinstance(child, Element)]
    return [each for child in below for each in (child, *every(child))]


def poisoned(name: str) -> Report:
    """A report that says this name wherever a stranger could have put one."""
    patient = measurement(
        layers=tuple(replace(layer(each), name=name, op=name, activation=name) for each in (1, 2, 3)),
        stats=profiled(1e-8, 1e-4, 0.1),
        flow=replace(VANISHING, absent={name: name}),
        probe=FAILS,
        through_time=(TimeProfile(node=name, direction="forward", gradient_log10=(-3.0, 0.0), absent={name: name}),),
        absent={name: name},
    )
    report = report_of(
        patient, [trial("he", measurement(probe=trained(0.2)))], name=name, refused=[(name, name)],
        left_out=[(name, name)],
    )  # fmt: skip
    model = replace(report.model, producer=name, opset={name: 1}, frozen={name: name}, notes=(name,))
    findings = tuple(
        each.model_copy(update={"layers": (name,), "affects": (name,), "caused_by": (name,)})
        for each in report.findings
    )
    batch = report.batch.model_copy(update={"notes": (name,)})
    options = {"train": [name], name: name}
    engine = replace(report.engine, sandbox={name: name})
    advice = (Advice(kind=AdviceKind.ADAM, words=name, values={}, snippet=name),)
    remedies = tuple(
        each.model_copy(update={"snippet": name, "cost": name, "recipe": name}) for each in report.remedies
    )
    return report.model_copy(
        update={
            "model": model, "findings": findings, "batch": batch, "options": options, "engine": engine,
            "advice": advice, "remedies": remedies,
        }
    )  # fmt: skip


def by_hand() -> Report:
    """An ill network with everything that a page tells: remedies, one of which adds a layer, and what was not done."""
    own = tuple(map(layer, (1, 2, 3)))
    patient = measurement(
        stats=profiled(1e-7, 1e-4, 0.1), flow=replace(VANISHING, logits_gradient_rms=0.1), probe=FAILS,
        absent={"sample_gradients": "too many"},
    )  # fmt: skip
    treated = measurement(
        layers=(own[0], layer(9), *own[1:]),
        stats=(*profiled(0.02), *profiled(7.0, first=9), *profiled(0.5, 0.2, first=2)),
        flow=flow(-1.0, logits_gradient_rms=0.2), probe=trained(0.2, 0.3),
    )  # fmt: skip
    weak = replace(
        patient, stats=profiled(0.1, 1.0, 10.0), flow=flow(-2.0, logits_gradient_rms=10.0), probe=trained(0.5)
    )
    report = report_of(
        patient, [trial("relu+batch_norm+he", treated), trial("relu", weak), trial("he", replace(weak, probe=FAILS))],
        refused=[("lsuv", "no weights")], left_out=[("training of x", "budget_seconds reached")],
    )  # fmt: skip
    (baseline, *others), advised = report.variants, {"words": "Take Adam.", "values": {}, "snippet": "optim.Adam()\n"}
    *last, first = reversed(baseline.layers or ())
    silent = replace(first, absent={"activation.dead_fraction": "no activation function follows"})
    return report.model_copy(
        update={
            "variants": (baseline.model_copy(update={"layers": (silent, *reversed(last))}), *others),
            "advice": (*report.advice, Advice.model_validate(advised | {"kind": "adam"})),
            "factor_interactions": {"relu with he": Decades(decades_rms=0.5, decades_norm=-0.25)},
            "timings_seconds": {"total": 1.5, "factorial": 1.25},
        }
    )


def told_in_full() -> Report:
    """Two findings, one remedy more than is listed, layers that lack a number each, seven things left out."""
    report = by_hand()
    first, second = report.findings
    best, other = report.remedies
    redrawn = best.proof.model_copy(update={"worst": 0.256, "unchanged": 1.2345})
    unknown = other.model_copy(update={"proof": other.proof.model_copy(update={"unchanged": None})})
    one, two, three = report.variants[0].layers or ()
    layers = (
        replace(one, weight_gradient=None, leverage_log10=None, update_ratio=0.5),
        replace(two, leverage_log10=-5.04, update_ratio=0.0123),
        replace(three, update_ratio=None),
    )
    milder = {
        "severity": Severity.WARNING, "confidence": Confidence.LOW, "caused_by": ("GH101", "GH202"),
        "evidence": {"loss": Evidence(value=1.0, threshold=0.7)}, "affects": ("adam",), "remedies": ("he", "relu"),
    }  # fmt: skip
    flow_alone = {"evidence": {"flow_decades": first.evidence["flow_decades"]}, "remedies": ()}
    return report.model_copy(
        update={
            "variants": (report.variants[0].model_copy(update={"layers": layers}), *report.variants[1:]),
            "findings": (second.model_copy(update=milder), first.model_copy(update=flow_alone)),
            "remedies": (best.model_copy(update={"destructive": True, "proof": redrawn}), *[unknown] * 5),
            "left_out": tuple(LeftOut(what=f"treatment {each}", why="budget") for each in range(7)),
        }
    )


def deep(count: int = 1000, variants: int = 24) -> Report:
    """A network of so many layers in so many variants, all of which have gradients of their own."""
    layers = tuple(replace(layer(each), id=f"layer-{each:04d}") for each in range(1, count + 1))

    def fading(decades: float, probed: Probe) -> Measurement:
        gradients = profiled(*(10 ** (decades * (1 - place / count)) for place in range(count)))
        named = tuple(replace(each, id=own.id) for each, own in zip(gradients, layers, strict=True))
        return measurement(layers=layers, stats=named, flow=flow(decades), probe=probed)

    tried = [trial(f"v{each}", fading(-each / 8, trained(0.2)), destructive=True) for each in range(variants)]
    return report_of(fading(-12.0, FAILS), tried)


SHAPES = {
    "healthy": lambda: report_of(measurement(probe=LEARNS)),
    "sick": lambda: report_of(measurement(flow=VANISHING, probe=FAILS)),
    "cured": lambda: report_of(
        measurement(flow=VANISHING, probe=FAILS), [trial("he", measurement(probe=trained(0.2, 0.3)))]
    ),
    "recurrent": lambda: report_of(RECURRENT),
    "held out": lambda: report_of(measurement(probe=probe(replace(run("sgd", 0.1), held_out=(1.0, 0.8, 0.9))))),
    "one layer": lambda: report_of(measurement(layers=(layer(1),), stats=profiled(0.1))),
    "no gradient anywhere": lambda: report_of(measurement(stats=profiled(None, None, None))),
    "not finite": lambda: report_of(measurement(stats=profiled(0.0, math.inf, math.nan), flow=flow(-math.inf))),
    "refused and left out": lambda: report_of(refused=[("he", "no weights")], left_out=[("x", "budget")]),
    "with samples": lambda: report_of(
        measurement(
            sample_gradients=SampleGradients(
                samples=4, method="loop", least_norm=0.0, median_norm=1.0, largest_norm=2.0, coherence=1.0
            )
        )
    ),
    "older": lambda: report_of().model_copy(update={"options": None}),
}
