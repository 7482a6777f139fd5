"""A deliberate fault, and how it is planted into the text of a file."""

import re
from typing import NamedTuple


class Fault(NamedTuple):
    """One wrong piece of text, and the tests that must turn red."""

    name: str  # layer.what
    file: str  # path from the root of the project
    old: str  # text that occurs exactly once in the file; blanks do not matter
    new: str  # text in its place
    tests: str  # arguments of pytest: the shortest list that sees the fault

    def why_not_planted(self, root):
        """Return a sentence saying why the fault cannot be planted, or None."""
        path = root / self.file
        if not path.is_file():
            return f"fault {self.name}: there is no file {self.file}."
        found = len(_places(self.old, path.read_text(encoding="utf-8")))
        if found == 1:
            return None
        return f"fault {self.name}: {self.old!r} occurs {found} times in {self.file}, not once."

    def planted(self, text):
        """Return the text of the file with the fault in it."""
        (place,) = _places(self.old, text)
        return text[: place.start()] + self.new + text[place.end() :]


def _places(old, text):
    """Return the matches of ``old``, token by token: line breaks and final commas do not matter."""
    tokens = re.findall(r"\w+|[^\w\s]", old)
    closing = lambda token: r",?\s*" * (token in ")]}") + re.escape(token)
    pattern = r"\s*".join(map(closing, tokens))
    before = r"(?<!\w)" if tokens[0][0].isalnum() or tokens[0][0] == "_" else ""
    after = r"(?!\w)" if tokens[-1][-1].isalnum() or tokens[-1][-1] == "_" else ""
    return list(re.finditer(before + pattern + after, text))
