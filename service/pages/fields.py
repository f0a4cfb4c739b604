"""The form of the options, made from their published schema: a new option has its field, help and bounds by itself."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from analysis.options import AnalysisOptions, parse_options

PREFIX: Final = "options."
"""Of the names of fields, which are those that problems name."""
COMMON: Final = ("effort", "loss", "optimizer", "learning_rate")
"""Shown first; all others follow in the order of the schema."""


@dataclass(frozen=True, slots=True)
class OptionField:
    """One option as a form shows it."""

    name: str
    kind: str
    """choice, integer, number, lines (one a line) or json."""
    help: str
    default: str
    """As it would be typed; empty: none."""
    choices: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ").capitalize()


@cache
def option_fields() -> tuple[OptionField, ...]:
    """All options, the common ones first."""
    schema = AnalysisOptions.model_json_schema()
    made = {name: _field(name, described, schema["$defs"]) for name, described in schema["properties"].items()}
    return tuple(made[name] for name in dict.fromkeys((*COMMON, *made)))


def options_said(said: Mapping[str, bytes | bytearray]) -> AnalysisOptions:
    """Options from the texts of the form; what is empty has its default. Raises BadOptions naming the field."""
    texts = {name: bytes(text).decode(errors="replace").strip() for name, text in said.items()}
    chosen = {each.name: texts.get(PREFIX + each.name, "") for each in option_fields()}
    return parse_options(
        {each.name: _value(each.kind, chosen[each.name]) for each in option_fields() if chosen[each.name]}
    )


def _value(kind: str, text: str) -> Any:
    """Numbers stay texts, which the options read themselves."""
    if kind == "lines":
        return [line.strip() for line in text.splitlines() if line.strip()]
    if kind == "json":
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text  # refused by name
    return text


def _field(name: str, described: Mapping[str, Any], definitions: Mapping[str, Any]) -> OptionField:
    meant = _meant(described, definitions)
    return OptionField(
        name=name,
        kind="choice" if "enum" in meant else {"array": "lines", "object": "json"}.get(meant["type"], meant["type"]),
        help=" ".join(described["description"].split()),
        default=_typed(described.get("default")),
        choices=tuple(meant.get("enum", ())),
    )


def _meant(described: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference, or the alternative to null, stands for."""
    alternatives: Sequence[Mapping[str, Any]] = described.get("anyOf", [described])
    (only,) = (each for each in alternatives if each.get("type") != "null")
    return definitions[only["$ref"].rpartition("/")[2]] if "$ref" in only else only


def _typed(default: Any) -> str:
    if default is None or default in ([], {}):
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)
