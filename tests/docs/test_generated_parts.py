"""Tables and diagrams of the pages say what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from safeupdater import errors

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

spec = importlib.util.spec_from_file_location("docs_generated", DOCS / "generated.py")
assert spec is not None
assert spec.loader is not None
generated = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generated)


@pytest.mark.parametrize(
    ("path", "wanted"), list(generated.wanted_files()), ids=lambda value: getattr(value, "name", "")
)
def test_generated_parts_are_up_to_date(path: Path, wanted: str) -> None:
    assert path.read_text(encoding="utf-8") == wanted, "run `python docs/generated.py`"


def test_every_generator_is_used_by_a_page() -> None:
    used = {found["name"] for page in PAGES for found in generated.REGION.finditer(page.read_text())}
    assert used == set(generated.REGIONS)


def test_every_error_is_in_the_table_and_codes_are_distinct() -> None:
    classes = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.SafeUpdaterError)
    }
    table = generated.error_table()
    assert [each.__name__ for each in classes if f"`{each.__name__}`" not in table] == []
    assert len({each.code for each in classes}) == len(classes)
