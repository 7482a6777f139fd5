"""Derivatives of a term by automatic differentiation, for terms that state no closed forms."""


def differentiate(bk, want, value, by_task, is_map, z, x, v, weights):
    """Return dict of the quantities ``want`` of `terms.term.QUANTITIES`, all flat.

    Parameters
    ----------
    bk : backend object
    want : frozenset of str
    value : callable
        ``(z, x) -> sum_i w_i loss_i + penalty``, or the mean map Phi.
    by_task : callable or None
        With tasks: ``(z, x) -> loss or map of each task``, shape (b,) or (b, p).
    is_map : bool
    z, x, v : arrays
        v may be None where no product is asked for.
    weights : array of shape (b,)
    """
    xp, out = bk.xp, {}
    if is_map:
        phi = by_task or value
        residual = lambda z, x: z - phi(z, x).reshape(z.shape)
    else:
        total = (lambda z, x: xp.sum(by_task(z, x))) if by_task else value
        residual = lambda z, x: bk.grad(total, (z, x), (0,))[0]
    averaged = (lambda z, x: xp.sum(weights * by_task(z, x))) if by_task and not is_map else value
    if "value" in want:
        out["value"] = bk.evaluate(averaged, z, x)
    if {"grad_z", "hvp", "cross"} <= want and not by_task:
        out["grad_z"], (out["hvp"], out["cross"]) = bk.vjp(residual, (z, x), v, (0, 1))
        return out
    if {"grad_z", "grad_x"} <= want and not by_task and not is_map:
        out["grad_z"], out["grad_x"] = bk.grad(value, (z, x), (0, 1))
        return out
    if "grad_z" in want:
        out["grad_z"] = bk.evaluate(residual, z, x)
    if "grad_x" in want:
        out["grad_x"] = bk.grad(averaged, (z, x), (1,))[0]
    if {"hvp", "cross"} <= want and not by_task:
        out["hvp"], out["cross"] = bk.vjp(residual, (z, x), v, (0, 1))[1]
        return out
    if "hvp" in want:
        if is_map:
            out["hvp"] = bk.vjp(lambda z: residual(z, x), (z,), v, (0,))[1][0]
        else:
            out["hvp"] = bk.symmetric_product(lambda z: residual(z, x), z, v)
    if "cross" in want:
        along = weights[:, None] * v if by_task else v
        out["cross"] = bk.vjp(lambda x: residual(z, x), (x,), along, (0,))[1][0]
    return out
