"""benchopt's pages ask the network for nothing: local copies of libraries, or plain tables."""

import re

import pytest

from tools import dashboard, web_libraries

LIST = '<i class="fa fa-download"></i><div id=subinfo0 style="display:none;">x</div><button data-idx=0>y</button>'
PAGE = f"""
<script defer src="https://use.fontawesome.com/releases/v5.0.10/js/all.js" crossorigin="anonymous"></script>
<link rel="preconnect" href="https://fonts.gstatic.com" crossorigin>
<script
  src="https://code.jquery.com/jquery-3.5.1.min.js"
  crossorigin="anonymous"></script>
<script src="https://cdn.plot.ly/plotly-2.12.1.min.js"></script>
<script src="https://cdn.jsdelivr.net/npm/gridjs@6.2.0/dist/gridjs.umd.js"></script>
{LIST}<script type="text/javascript">
$(function () {{ fold(); }});
</script>"""


def test_without_npm_tables_are_plain_and_a_sentence_says_why(tmp_path, no_npm, capsys):
    (tmp_path / "a.html").write_text(PAGE, encoding="utf-8")
    assert dashboard.localise(tmp_path) == [tmp_path / "a.html"]
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert re.findall(r'src="(.*?)"', text) == ["assets/plotly.min.js", "assets/plain_grid.js"]
    assert (tmp_path / "assets" / "plain_grid.js").exists()
    assert "Download<div id=subinfo0>x</div>" in text, "what is folded away by a script is shown"
    assert "$(function" not in text
    assert "without gridjs: npm is not installed" in capsys.readouterr().out
    assert dashboard.localise(tmp_path) == [], "nothing is left to change"


def test_an_archive_with_another_hash_is_not_used(tmp_path, no_npm, monkeypatch):
    no_npm.mkdir()
    (no_npm / "gridjs-6.2.0.tgz").write_bytes(b"something else")
    with pytest.raises(web_libraries.Unavailable):
        web_libraries.put("gridjs", tmp_path)
    npm = tmp_path / "npm"
    npm.write_text('#!/bin/sh\necho other > "$4/gridjs-6.2.0.tgz"\n', encoding="utf-8")
    npm.chmod(0o755)
    monkeypatch.setattr(web_libraries.shutil, "which", lambda name: str(npm))
    with pytest.raises(web_libraries.Unavailable, match="not the one whose hash"):
        web_libraries.put("gridjs", tmp_path)


def test_an_address_that_nobody_knows_is_an_error(tmp_path):
    (tmp_path / "a.html").write_text('<script src="https://example.org/new.js"></script>', encoding="utf-8")
    with pytest.raises(SystemExit, match="does not know"):
        dashboard.localise(tmp_path)
