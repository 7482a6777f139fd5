"""Why a problem cannot be built: a sentence instead of a traceback."""


class NotBuilt(ValueError):
    """A problem cannot be built from what was given; the message is a sentence that says why and what to do."""
