"""
The generated pages say what the code says, and the pages' links lead somewhere.
"""

import re
from pathlib import Path

import pytest

from scripts.generate_docs import DOCS, make_errors_page, make_options_page

ROOT = DOCS.parent
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]


def test_errors_page_is_up_to_date():
    assert (DOCS / "errors.md").read_text() == make_errors_page(), "run: make docs"


def test_options_page_is_up_to_date(dsn):
    assert (DOCS / "options.md").read_text() == make_options_page(dsn), "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []
