import importlib
import pkgutil
import subprocess
import sys

from analysis.interventions import shelf
from analysis.interventions.shelf import INTERVENTIONS
from analysis.interventions.treatment import SHELF


def test_every_file_of_the_shelf_is_on_a_line_with_the_tokens_it_has_functions_for() -> None:
    listed: dict[str, set[str]] = {}
    for each in INTERVENTIONS:
        listed.setdefault(each.file, set()).add(each.token)
    assert set(listed) == {module.name for module in pkgutil.iter_modules(shelf.__path__)}
    for file, tokens in listed.items():
        assert set(importlib.import_module(f"{SHELF}.{file}").TREATMENTS) == tokens
    for each in INTERVENTIONS:
        assert each.load() is importlib.import_module(f"{SHELF}.{each.file}").TREATMENTS[each.token]


def test_a_page_is_the_docstring_of_its_file_and_its_title_the_first_line() -> None:
    for each in INTERVENTIONS:
        assert each.page == importlib.import_module(f"{SHELF}.{each.file}").__doc__
        assert each.page.startswith(f"{each.title}\n")
        assert each.title[0].isupper()
        assert each.title.endswith((".", ":"))


def test_listing_treatments_with_their_pages_loads_no_graphs() -> None:
    code = (
        "import sys; from analysis.interventions.shelf import INTERVENTIONS;"
        "print(len({each.page for each in INTERVENTIONS}));"
        "from analysis.interventions.variants import cell_of; cell_of('relu+he'); assert 'onnx' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == len({each.file for each in INTERVENTIONS})
