"""Read the docstring of a solver: what it is, every parameter, and where it differs from its paper."""

import inspect
import re
from typing import NamedTuple


class Parameter(NamedTuple):
    """One parameter as its docstring documents it."""

    kind: str  # type or allowed words, such as 'int or "full"'
    meaning: str  # one paragraph


class Docstring(NamedTuple):
    """The parts of a solver's docstring."""

    summary: str  # first paragraph
    about: str  # paragraphs after it, before the first section
    parameters: dict  # name -> Parameter, in the order of the docstring
    differences: list  # bullets of "Differs from the paper"


def read(cls):
    """Return the `Docstring` of a class.

    Raises
    ------
    ValueError
        If a section is not of the form that numpydoc asks for; the sentence says which and why.
    """
    head, sections = cut(inspect.getdoc(cls) or "")
    unknown = set(sections) - {"Parameters", "Differs from the paper"}
    if unknown:
        raise ValueError(
            f"the docstring of {cls.name} has the section {unknown.pop()!r}; a solver has the sections 'Parameters' "
            "and 'Differs from the paper'."
        )
    summary, _, about = head.partition("\n\n")
    try:
        parameters = entries(sections.get("Parameters", ""))
        differences = bullets(sections.get("Differs from the paper", ""))
    except ValueError as error:
        raise ValueError(f"the docstring of {cls.name}: {error}") from None
    return Docstring(one_line(summary), about.strip(), parameters, differences)


def cut(text):
    """Return (the text before the first section, dict of section title to its text)."""
    head, *rest = re.split(r"(?m)^(\S.*)\n-{3,}$", text)
    return head.strip(), dict(zip(rest[::2], (body.strip("\n") for body in rest[1::2]), strict=True))


def entries(text):
    """Return dict of name to `Parameter` from the text of a "Parameters" section."""
    found = {}
    for block in re.split(r"(?m)^(?=\S)", text):
        if not block.strip():
            continue
        header, _, meaning = block.partition("\n")
        names, colon, kind = header.partition(" : ")
        if not colon or not kind.strip():
            raise ValueError(f"the line {header!r} of 'Parameters' must read 'name : type'.")
        if not meaning.strip():
            raise ValueError(f"the parameter {names} has no text; say what its number does, with its unit.")
        for name in names.split(", "):
            if name in found:
                raise ValueError(f"the parameter {name} is documented twice.")
            found[name] = Parameter(kind.strip(), one_line(meaning))
    return found


def bullets(text):
    """Return the items of a list whose items begin with "- ", each on one line."""
    before, *items = re.split(r"(?m)^- ", text)
    if before.strip():
        raise ValueError(f"'Differs from the paper' must be bullets that begin with '- ', not {before.strip()!r}.")
    return [one_line(item) for item in items]


def one_line(text):
    """Return a text with its line breaks and indentation as single spaces."""
    return " ".join(text.split())
