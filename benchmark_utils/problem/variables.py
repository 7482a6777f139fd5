"""Variables of a problem: shapes, flat vectors, sparse rows, and the roles of a solver's state."""

import dataclasses
import math
from typing import Any, NamedTuple


def size_of(shape):
    """Return the number of entries of a variable: a shape, or a dict of shapes."""
    if isinstance(shape, dict):
        return sum(math.prod(s) for s in shape.values())
    return math.prod(shape)


def unflatten(xp, vector, shape, leading=False):
    """Cut a flat vector into a variable of the given shape (an array, or a dict of arrays).

    With ``leading``, a table of vectors: the first axis is kept.
    """
    head = vector.shape[:1] if leading else ()
    if not isinstance(shape, dict):
        return vector if len(shape) == 1 else vector.reshape((*head, *shape))
    pieces = xp.split_sizes(vector, [math.prod(s) for s in shape.values()])
    return {name: piece.reshape((*head, *s)) for (name, s), piece in zip(shape.items(), pieces, strict=True)}


def flatten(xp, variable, leading=False, shape=None):
    """Return the flat vector of a variable, or the table of vectors: the inverse of `unflatten`.

    The entries of a dict follow the order of ``shape`` where it is given (tree functions of JAX sort the keys).
    """
    flat = lambda a: a.reshape((*a.shape[:1], -1)) if leading else a.reshape((-1,))
    if not isinstance(variable, dict):
        return flat(variable)
    return xp.concat([flat(variable[name]) for name in shape or variable], axis=-1)


class ByColumns(NamedTuple):
    """Dense rows that a backend keeps column by column, because short rows are read faster that way.

    ``blocks.mT`` is what everything else sees.
    """

    blocks: Any  # (..., columns, rows)


class SparseRows(NamedTuple):
    """Rows of a sparse matrix as coordinates; padding has value 0 in row 0, column 0.

    With a leading axis of blocks the shapes are (n_blocks, nnz); for one block or for all rows, (nnz,).
    """

    values: Any  # entries
    columns: Any  # int32 column of each entry
    rows: Any  # int32 row of each entry within its block


# ---------------------------------------------------------------------- roles of a solver's state
@dataclasses.dataclass(frozen=True)
class Role:
    """What a field of a solver's State is: its shape and its start follow from it.

    Attributes
    ----------
    axes : tuple of str or int
        "z" and "x" stand for the flat sizes p and d; "inner" and "outer" for the number of blocks of G and F; a number
        for itself. The shape is that of the product; `Memory` sums sizes in its last axis.
    columns : dict of str to int, or None
        Of `Memory`: how many vectors of the size of z and of x one row holds; empty for a `Scalar`.
    starts : bool
        Whether the field starts at z0 or x0; else at zero. Fields named z and x start there in any case.
    used : tuple, or None
        (name, words): the field is empty unless the solver's parameter ``name`` is one of ``words``.
    """

    axes: tuple
    columns: Any = None
    starts: bool = False
    used: Any = None

    @property
    def start(self):
        """The same role for a field that starts at z0 or x0: old iterates, second copies."""
        return dataclasses.replace(self, starts=True)

    def only_with(self, name, *words):
        """Return the same role for a field that is empty unless the parameter ``name`` is one of ``words``."""
        return dataclasses.replace(self, used=(name, words))

    def of(self, solver):
        """Return the role that the field has with the parameters of ``solver``: this one, or that of no numbers."""
        return EMPTY if self.used is not None and getattr(solver, self.used[0]) not in self.used[1] else self

    def shape(self, sizes):
        """Return the shape for ``sizes``, a dict of "z", "x", "inner" and "outer" to int."""
        shape = tuple(axis if isinstance(axis, int) else sizes[axis] for axis in self.axes)
        return (*shape, sum(k * sizes[axis] for axis, k in self.columns.items())) if self.columns else shape


#: A field without numbers.
EMPTY = Role((0,))

#: Shape of z, shape of x, iteration counter, one real number.
Inner, Outer, Count, Scalar = Role(("z",)), Role(("x",)), Role(()), Role((), {})


def Memory(blocks=None, **columns):
    """Return the role of a memory table: one row for each block of the level ``blocks``, or one row without an axis.

    Parameters
    ----------
    blocks : {"inner", "outer", None}
    **columns : int
        ``z=2, x=1``: a row holds two vectors of the size of z and one of the size of x.
    """
    return Role(() if blocks is None else (blocks,), columns)


def Matrix(rows, columns):
    """Return the role of a dense matrix; ``rows`` and ``columns`` are "z", "x" or a number."""
    return Role((rows, columns))


def roles_of(state_class):
    """Return dict of field name to `Role`.

    Raises
    ------
    TypeError
        If a field is annotated with something else.
    """
    roles = dict(state_class.__annotations__)
    for name, role in roles.items():
        if not isinstance(role, Role):
            raise TypeError(
                f"field {name} of {state_class.__name__} is annotated {role!r}; use Inner, Outer, Count, Scalar, "
                "Memory(...) or Matrix(...) of benchmark_utils.problem.variables, so that shape and start are known."
            )
    return roles
