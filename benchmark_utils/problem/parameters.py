"""Parameters as users write them: text that spells a number becomes one; sentences about what cannot be used."""

import numbers

#: Most characters of a value that a sentence shows.
SHOWN = 60


def as_number(value):
    """Return a number for numbers and for text that spells one ("1e5" in YAML, "inf"); anything else unchanged.

    Whole numbers are integers where a float holds them exactly (3.0 is 3); a number beyond all floats is infinite.
    """
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        if isinstance(value, numbers.Integral):
            return int(value)
        value = float(value)
        if value.is_integer() and abs(value) < 2**53:
            return int(value)
    return value


def as_float(value):
    """Return an integer as a float, infinite beyond all floats; anything else unchanged."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def shown(value):
    """Return a value for a sentence: its `repr`, shortened."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return "an integer of thousands of digits"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 20]}... ({len(text)} characters)"


class NumericParameters:
    """Numbers among the parameters of benchopt's classes, however they were written.

    benchopt hands on what stands in a pattern or a configuration: ``inf`` and, in YAML, ``1e5`` arrive as text, 3.0 as
    a fraction. With this class before `BaseSolver`, `BaseDataset` or `BaseObjective`, attributes, the printed name and
    the columns of the results hold the number, in one form: ``max_seconds=5`` and ``max_seconds=5.0`` are one
    configuration.
    """

    @classmethod
    def is_fraction(cls, name):
        """Return whether a parameter is a float: its default is one."""
        return any(
            isinstance(default, float)
            for names, values in cls.parameters.items()
            for value in values[:1]
            for other, default in zip(names.split(","), value if "," in names else [value], strict=True)
            if other.strip() == name
        )

    def save_parameters(self, **parameters):
        """Keep parameters as numbers where they spell one; called by benchopt for each instance."""
        plain = {name: as_number(value) for name, value in parameters.items()}
        super().save_parameters(**{n: as_float(v) if self.is_fraction(n) else v for n, v in plain.items()})


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
        f"{word} {bound:,}" if isinstance(bound, int) else f"{word} {bound}"
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
    return f"{name} is {shown(value)}; it must be {asked}."


def seed(name, value):
    """Return a sentence saying that a parameter is no seed of NumPy's generators, or None."""
    return number(name, value, least=0, below=2**32, whole=True)


def flag(name, value):
    """Return a sentence saying that a parameter is neither True nor False, or None."""
    return None if isinstance(value, bool) else f"{name} is {shown(value)}; it must be True or False."


def word(name, value, options):
    """Return a sentence saying that a parameter is none of the words (an iterable of str), or None."""
    options = tuple(options)
    return None if value in options else f"{name} is {shown(value)}; choose one of {', '.join(options)}."


def some_wrong(corruption, clean):
    """Return a sentence if no label, or every label, of a corrupted data set is wrong, or None.

    Parameters
    ----------
    corruption : float
    clean : bool array
        Which labels are right; with one kind alone the area under the curve of the weights does not exist.
    """
    if clean.any() and not clean.all():
        return None
    return f"corruption is {corruption!r}: no label, or every label, is wrong. Choose another number or seed."
