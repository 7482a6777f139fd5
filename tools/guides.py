"""The guides docs/add_a_*.md, which show files of the project in full."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
GUIDES = [ROOT / "docs" / f"add_a_{what}.md" for what in ("solver", "problem")]


def guide(path):
    """Return the text of a guide with the files between its markers as they are now."""
    text = path.read_text(encoding="utf-8")
    for path in re.findall(r"<!-- begin (\S+) -->", text):
        code = (ROOT / path).read_text(encoding="utf-8")
        included = f"<!-- begin {path} -->\n```python\n{code}```\n<!-- end {path} -->"
        marked = f"<!-- begin {re.escape(path)} -->.*?<!-- end {re.escape(path)} -->"
        text = re.sub(marked, lambda _, included=included: included, text, flags=re.DOTALL)
    return text
