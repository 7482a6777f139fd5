"""Sentences about parameters of data sets that cannot be used."""

import numbers


def number(name, value, *, above=None, least=None, below=None, most=None, whole=False):
    """Return a sentence saying why a parameter is not the number asked for, or None.

    Parameters
    ----------
    name : str
    value : object
        What the user gave.
    above, below : float, optional
        Bounds that are not allowed themselves.
    least, most : float, optional
        Bounds that are.
    whole : bool
        Whether it must be an integer.
    """
    kind = "an integer" if whole else "a number"
    wanted = numbers.Integral if whole else numbers.Real
    bounds = [
        f"{word} {bound}"
        for word, bound in (
            ("above", above), ("at least", least), ("below", below), ("at most", most),
        )
        if bound is not None
    ]  # fmt: skip
    asked = " ".join([kind, " and ".join(bounds)]).strip()
    right = isinstance(value, wanted) and not isinstance(value, bool)
    right = right and (above is None or value > above) and (least is None or value >= least)
    right = right and (below is None or value < below) and (most is None or value <= most)
    if right and abs(value) < float("inf"):  # False for NaN
        return None
    return f"{name} is {value!r}; it must be {asked}."


def flag(name, value):
    """Return a sentence saying that a parameter is neither True nor False, or None."""
    return None if isinstance(value, bool) else f"{name} is {value!r}; it must be True or False."
