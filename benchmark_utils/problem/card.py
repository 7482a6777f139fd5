"""Facts about a problem that its page shows."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Card:
    """Facts about a problem; measured quantities come from `evaluation.constants.measure`."""

    title: str
    formula: str
    source: str
    licence: str
    splits: dict = dataclasses.field(default_factory=dict)  # split name -> rows
    hashes: dict = dataclasses.field(default_factory=dict)  # file -> sha256, or md5 marked as such
    notes: str = ""
