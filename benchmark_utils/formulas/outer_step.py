"""The step of x along an estimate of the hypergradient: plain, with heavy-ball momentum, or Adam's."""

#: Words of the parameter ``outer_optimiser``.
OPTIMISERS = ("sgd", "heavy_ball", "adam")

#: Adam's weight of the old average of squares, and what is added to its square root: the defaults of its paper.
BETA_2, FLOOR = 0.999, 1e-8


def outer_step(oracles, s, D_x, gamma, t, optimiser, momentum):
    """Return the new x and the two memories, (x, m_x, s_x).

    - ``"sgd"``: ``x - gamma D_x``.
    - ``"heavy_ball"``: ``m = momentum m + D_x``, ``x - gamma m``. Polyak 1964: with a constant gamma and without a
      constraint it is ``x - gamma D_x + momentum (x - x_old)``.
    - ``"adam"``: Kingma, Ba 2015, arXiv:1412.6980, Algorithm 1, with beta_1 = ``momentum``.

    x is projected on X afterwards. A State that uses it has the fields below, which are empty where not needed::

        m_x: Outer.only_with("outer_optimiser", "heavy_ball", "adam")
        s_x: Outer.only_with("outer_optimiser", "adam")

    Parameters
    ----------
    oracles : Oracles
    s : State
        Its x, m_x and s_x are read.
    D_x : array, shape (d,)
        Estimate of the hypergradient.
    gamma : float or 0-d array
        Step.
    t : int or 0-d integer array
        Outer iterations done so far, starting at 0.
    optimiser : {"sgd", "heavy_ball", "adam"}
    momentum : float
        Weight of the old average, in [0, 1).

    Returns
    -------
    x, m_x, s_x : arrays
    """
    x, m, v = moved(oracles.bk.xp, s.x, s.m_x, s.s_x, D_x, gamma, t, optimiser, momentum)
    return oracles.project(x), m, v


def moved(xp, x, m, v, D, gamma, t, optimiser, momentum):
    """Return (x, m, v) after the step of `outer_step` of any vector x along D, before any projection."""
    if optimiser == "sgd":
        return x - gamma * D, m, v
    if optimiser == "heavy_ball":
        m = momentum * m + D
        return x - gamma * m, m, v
    m = momentum * m + (1 - momentum) * D
    v = BETA_2 * v + (1 - BETA_2) * (D * D)
    # Both averages start at zero; 0 * gamma gives the counter the floating type of gamma.
    n = t + 1 + 0 * gamma
    m_hat, v_hat = m / (1 - momentum**n), v / (1 - BETA_2**n)
    return x - gamma * m_hat / (xp.sqrt(v_hat) + FLOOR), m, v
