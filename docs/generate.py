"""Hook of mkdocs: what the program knows of itself becomes pages at every build, so that none is ever out of date.

Rules, treatments, operators, options, settings and routes are pages of their own. `<!-- README: heading -->` on a page
is replaced by that section of README.md. Links out of this folder lead to a copy where the file is under deploy/, else
they become the name of what they lead to.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from analysis.diagnosis.contract import Rule
from analysis.diagnosis.rules import RULES
from analysis.interventions.shelf import INTERVENTIONS
from analysis.interventions.treatment import Treatment
from analysis.options import AnalysisOptions
from service.app import create_app
from service.settings import Settings

DOCS: Final = Path(__file__).parent
ROOT: Final = DOCS.parent
INCLUDED: Final = re.compile(r"<!-- README: (.+?) -->")
LINK: Final = re.compile(r"(!?)\[([^\]]+)\]\(([^)\s#]+)(#[^)\s]*)?\)")
ELSEWHERE: Final = {
    "SECURITY.md": "security.md", "README.md": "index.md", "analysis/convert/ops/OPERATORS.md": "operators.md",
    "analysis/diagnosis/rules": "rules/index.md", "analysis/interventions/shelf": "treatments/index.md",
}  # fmt: skip
"""Files and folders that are pages here under another name."""


def on_config(config: MkDocsConfig) -> None:
    """List the pages of a shelf under its index."""
    (shelves,) = (entry["Reference"] for entry in config.nav if "Reference" in entry)
    for entry in shelves:
        for title, target in entry.items():
            if target.endswith("/index.md"):
                folder = target.removesuffix("index.md")
                entry[title] = [target, *(each for each in pages() if each.startswith(folder) and each != target)]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is generated and not there."""
    for path, text in pages().items():
        if files.get_file_from_path(path) is None:
            files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in what is taken of README.md, and turn links out of this folder."""
    home = ROOT if page.file.generated_by else DOCS
    turn = partial(_turned, config=config, files=files)
    own = LINK.sub(partial(turn, home=home), markdown)
    return INCLUDED.sub(lambda found: LINK.sub(partial(turn, home=ROOT), section(found[1])), own)


def section(heading: str) -> str:
    """What README.md says under a heading. Raises LookupError."""
    found = re.search(
        rf"^#+ {re.escape(heading)}\n(.*?)(?=^## |\Z)",
        (ROOT / "README.md").read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    if found is None:
        raise LookupError(f"README.md has no heading {heading!r}")
    return found[1].strip()


def _turned(link: re.Match[str], *, home: Path, config: MkDocsConfig, files: Files) -> str:
    picture, words, written, anchor = link.groups(default="")
    target = (home / written).resolve()
    if not target.exists() or not target.is_relative_to(ROOT):
        return link[0]
    if target.is_relative_to(DOCS):
        return f"{picture}[{words}]({target.relative_to(DOCS)}{anchor})"
    path = str(target.relative_to(ROOT))
    if path in ELSEWHERE:
        return f"[{words}]({ELSEWHERE[path]}{anchor})"
    if target.is_file() and path.startswith("deploy/"):
        if files.get_file_from_path(path) is None:
            files.append(File.generated(config, path, abs_src_path=str(target)))
        return f"{picture}[{words}]({path})"
    return f"`{path}`" if words.strip("`") in path else f"{words} (`{path}`)"


# ------------------------------------------------------------------ pages


@cache
def pages() -> Mapping[str, str]:
    """The text of each generated page by its path."""
    openapi = routes()
    return {
        "rules/index.md": f"# Rules\n\n{_table(('rule', 'name', 'what it says'), map(_rule_row, RULES))}",
        **{f"rules/{rule.id}.md": _rule(rule) for rule in RULES},
        **dict(_treatments()),
        "operators.md": (ROOT / "analysis/convert/ops/OPERATORS.md").read_text("utf-8"),
        "options.md": f"# Options\n\nOf an analysis: the part `options`, `--options`, or `gradient-health.toml`.\n\n"
        f"{_fields(AnalysisOptions.model_json_schema(), '')}",
        "settings.md": f"# Settings\n\nOf an installation, from its environment.\n\n"
        f"{_fields(Settings.model_json_schema(), 'GRADIENT_HEALTH_')}",
        "api.md": _api(openapi),
        "openapi.json": json.dumps(openapi),
        "security.md": (ROOT / "SECURITY.md").read_text("utf-8"),
        "accuracy.md": f"# Accuracy\n\n{section('How often it is right')}",
        "notebook.md": _notebook(json.loads((DOCS / "notebook.ipynb").read_text("utf-8"))),
    }


def _rule_row(rule: Rule) -> tuple[str, ...]:
    return f"[{rule.id}]({rule.id}.md)", rule.name, rule.message


def _rule(rule: Rule) -> str:
    limits = _table(
        ("threshold", "default"), ((f"`{rule.id}.{name}`", f"{value:g}") for name, value in rule.thresholds.items())
    )
    return f"{rule.page}\n\n## Thresholds\n\n{limits}" if rule.thresholds else rule.page


def _treatments() -> Iterator[tuple[str, str]]:
    """One page for each file of the shelf, with all of its tokens."""
    shelf = [(file, list(levels)) for file, levels in groupby(INTERVENTIONS, key=lambda each: each.file)]
    rows = (
        (f"[{file}]({file}.md)", _tokens(levels), levels[0].factor.value, levels[0].title) for file, levels in shelf
    )
    yield "treatments/index.md", f"# Treatments\n\n{_table(('treatment', 'tokens', 'factor', 'what it does'), rows)}"
    for file, levels in shelf:
        about = f"Tokens: {_tokens(levels)}; factor `{levels[0].factor.value}`."
        yield f"treatments/{file}.md", f"# {file}\n\n{levels[0].page}\n\n{about}\n"


def _tokens(levels: Iterable[Treatment]) -> str:
    return ", ".join(f"`{each.token}`" for each in levels)


def _fields(schema: Mapping[str, Any], prefix: str) -> str:
    rows = (
        (f"`{prefix}{name.upper() if prefix else name}`", f"`{json.dumps(each.get('default'))}`", _words(each))
        for name, each in schema["properties"].items()
    )
    return _table(("name", "default", "what it is"), rows)


def _words(field: Mapping[str, Any]) -> str:
    return str(field.get("description", ""))


def routes() -> dict[str, Any]:
    """The OpenAPI document of a service with default settings."""
    with TemporaryDirectory() as folder:
        return create_app(Settings(data_dir=Path(folder) / "data")).openapi()


def _api(openapi: Mapping[str, Any]) -> str:
    rows = (
        (f"{method.upper()} `{path}`", operation.get("summary", ""), ", ".join(operation["responses"]))
        for path, operations in openapi["paths"].items()
        for method, operation in operations.items()
    )
    intro = "Described in full by [openapi.json](openapi.json), which a service has at `/openapi.json`, too."
    return f"# Routes\n\n{intro}\n\n{_table(('route', 'what it does', 'answers'), rows)}"


def _notebook(notebook: Mapping[str, Any]) -> str:
    """Its cells, and what they printed, as markdown; the file itself is beside the page."""
    return "\n\n".join(text for cell in notebook["cells"] for text in _cell(cell))


def _cell(cell: Mapping[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    yield source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```"
    for output in cell.get("outputs", ()):
        yield f"```text\n{''.join(output['text']).rstrip()}\n```"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "".join(
        f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in each)} |\n" for each in lines
    )
