"""A site of made-up results, built once."""

import pytest

import made_up_results
from tools import site, web_libraries


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Return the folder of a site of made-up results."""
    folder = tmp_path_factory.mktemp("pages")
    file = folder / "made up.parquet"
    made_up_results.of_a_site().to_parquet(file)
    site.build([file], folder / "site")
    return folder / "site"


@pytest.fixture
def own_pages(folder):
    """Return the pages of the site that are not benchopt's."""
    return [page for page in folder.rglob("*.html") if page.parent.name != "dashboards" or page.name == "index.html"]


@pytest.fixture
def no_npm(monkeypatch, tmp_path):
    """Take npm and its cache away; return the folder that is the cache now."""
    monkeypatch.setattr(web_libraries, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(web_libraries.shutil, "which", lambda name: None)
    return tmp_path / "cache"
