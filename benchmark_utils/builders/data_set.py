"""What every data set's `get_data` goes through: what cannot be built is skipped with a sentence."""

import functools
import inspect
import traceback
from pathlib import Path

from benchmark_utils.files.names import why_twice
from benchmark_utils.problem.not_built import NotBuilt
from benchmark_utils.problem.problem import Problem


def skipped_if_not_built(get_data):
    """Decorate the `get_data` of a data set so that no error in it ends the whole run.

    benchopt ends everything where `get_data` raises, finished results included. The decorated method returns
    ``dict(problem=None, reason=sentence)`` instead, and the objective skips the data set with the sentence: that of
    `NotBuilt`, or for any other error its type, its text and the line of the data set's file it came from.
    """

    @functools.wraps(get_data)
    def wrapped(self):
        reason = why_twice(type(self))
        if reason is not None:
            return dict(problem=None, reason=reason)
        try:
            data = get_data(self)
        except NotBuilt as error:
            return dict(problem=None, reason=str(error))
        except Exception as error:
            return dict(problem=None, reason=_sentence(self, get_data, error))
        if not isinstance(data, dict) or not isinstance(data.get("problem"), (Problem, type(None))):
            file = Path(inspect.getfile(get_data)).name
            return dict(
                problem=None,
                reason=f"get_data of {file} returns {type(data).__name__}; end it with `return dict(problem=problem)`, "
                "where problem is a benchmark_utils.problem.problem.Problem.",
            )
        return data

    return wrapped


def _sentence(self, get_data, error):
    """Return one sentence about an error that nobody foresaw."""
    file = inspect.getfile(get_data)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    where = f"datasets/{Path(file).name}, line {lines[-1]}" if lines else Path(file).name
    text = " ".join(str(error).split())
    return f"{self.name} could not be built: {type(error).__name__}: {text} ({where})."
