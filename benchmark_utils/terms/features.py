"""Networks whose parameters are x and whose values are the features that a last layer z takes."""

import dataclasses

import numpy as np

#: What batch normalisation adds to a variance.
FLOOR = 1e-5

#: Words for the order of a block: that of Grazzi, Pontil, Salzo 2023 and that of Ji, Yang, Liang 2021.
ORDERS = ("conv_relu_pool_norm", "conv_norm_relu_pool")


@dataclasses.dataclass(frozen=True)
class TwoLayers:
    """``f(a) = tanh(tanh(a W1 + b1) W2 + b2)``.

    x is a dict with "W1" of shape (pixels, units), "b1", "W2" of shape (units, features) and "b2",
    in this order. Rows have "images" of shape (b, shots, pixels).
    """

    #: Whether `pulled_back` is there, so that a term on these features states all its derivatives.
    closed_form = True

    #: Numbers that an image leaves behind for the derivative in x: as few as its pixels.
    kept_numbers = 0

    def features(self, xp, x, rows):
        """Return the features of the images, shape (b, shots, features)."""
        return self._layers(xp, x, rows)[1]

    def _layers(self, xp, x, rows):
        units = xp.tanh(rows["images"] @ x["W1"] + x["b1"])
        return units, xp.tanh(units @ x["W2"] + x["b2"])

    def pulled_back(self, xp, x, rows, slopes):
        """Return the derivative in x from that in the features, (b, shots, features)."""
        units, f = self._layers(xp, x, rows)
        at_second = merged(slopes * (1 - f * f))
        units = merged(units)
        at_first = (at_second @ x["W2"].T) * (1 - units * units)
        return {
            "W1": merged(rows["images"]).T @ at_first,
            "b1": at_first.sum(0),
            "W2": units.T @ at_second,
            "b2": at_second.sum(0),
        }


@dataclasses.dataclass(frozen=True)
class Convolutions:
    """Blocks of 3 x 3 convolution, ReLU, 2 x 2 max-pooling and batch normalisation, flattened.

    Rows have "images" of shape (b, shots): numbers of images in the shared array "pool" of shape
    (n, side, side, channels), bytes of 0..255 that become 0..1. The mean and variance of a
    normalisation are those of the images of one row, which is one task: support and query images
    are normalised apart, in training as in evaluation. The last feature is 1, so that the last
    layer has an intercept.

    Attributes
    ----------
    side, channels : int
        Pixels of a side of an image, and numbers of a pixel.
    filters : int
        Filters of each convolution.
    blocks : int
    order : {"conv_relu_pool_norm", "conv_norm_relu_pool"}
        Order of the four parts of a block.
    squashed : bool
        Whether the features pass through tanh.
    """

    side: int
    channels: int
    filters: int
    blocks: int = 4
    order: str = ORDERS[0]
    squashed: bool = True

    closed_form = False

    @property
    def shapes(self):
        """Shapes of x: kernels, intercepts, and scales and shifts of the normalisations of each block."""
        out = {}
        for k in range(self.blocks):
            out |= {
                f"kernels{k}": (3, 3, self.filters if k else self.channels, self.filters),
                f"intercepts{k}": (self.filters,),
                f"scales{k}": (self.filters,),
                f"shifts{k}": (self.filters,),
            }
        return out

    @property
    def n_features(self):
        """Number of features, the constant one included."""
        return (self.side >> self.blocks) ** 2 * self.filters + 1

    @property
    def kept_numbers(self):
        """About how many numbers an image leaves behind for the derivative in x: four times what the convolutions
        return (a step of SOBA keeps 1,257 MB for 10,000 images of 28 x 28 and 8 filters, under JAX).
        """
        return 4 * sum((self.side >> k) ** 2 * self.filters for k in range(self.blocks))

    def start(self, rng):
        """Return a flat x: kernels and intercepts uniform in ±1/sqrt(fan-in), scales 1 and shifts 0."""
        out = []
        for name, shape in self.shapes.items():
            k = int(name[-1])
            width = (9 * (self.filters if k else self.channels)) ** -0.5
            if name.startswith(("kernels", "intercepts")):
                out.append(rng.uniform(-width, width, int(np.prod(shape))))
            else:
                out.append(np.full(shape, float(name.startswith("scales"))))
        return np.concatenate(out)

    def features(self, xp, x, rows):
        """Return the features of the images, shape (b, shots, features)."""
        ids, pool, like = rows["images"], rows["pool"], x["kernels0"]
        b, shots = ids.shape
        images = xp.take(pool, xp.astype(ids.reshape((-1,)), xp.int32), axis=0)
        a = xp.astype(images, like.dtype) / 255
        norm_last = self.order == ORDERS[0]
        for k in range(self.blocks):
            a = xp.conv3x3(a, x[f"kernels{k}"])
            if not norm_last:  # an intercept is what the normalisation takes away: there for its place in x alone
                a = self._normalised(xp, a, b, x[f"scales{k}"], x[f"shifts{k}"]) + 0 * x[f"intercepts{k}"]
            # The largest of four comes first, on which an intercept and ReLU then have a quarter of the work.
            a = _pooled(xp, a)
            a = a + x[f"intercepts{k}"] if norm_last else a
            a = xp.where(a > 0, a, 0 * a)
            if norm_last:
                a = self._normalised(xp, a, b, x[f"scales{k}"], x[f"shifts{k}"])
        a = a.reshape((b, shots, -1))
        a = xp.tanh(a) if self.squashed else a
        return xp.concat([a, 0 * a[:, :, :1] + 1], axis=2)

    def _normalised(self, xp, a, b, scales, shifts):
        by_task = a.reshape((b, -1, a.shape[-1]))
        n = by_task.shape[1]
        mean = xp.sum(by_task, axis=1) / n
        centred = by_task - mean[:, None]
        variance = xp.sum(centred * centred, axis=1) / n
        return (centred / xp.sqrt(variance + FLOOR)[:, None] * scales + shifts).reshape(a.shape)


def _pooled(xp, a):
    """Return the largest of each 2 x 2 pixels; an odd last row and column are left out."""
    h, w = a.shape[1] // 2 * 2, a.shape[2] // 2 * 2
    upper, lower = a[:, 0:h:2], a[:, 1:h:2]
    largest = xp.maximum(upper, lower)
    return xp.maximum(largest[:, :, 0:w:2], largest[:, :, 1:w:2])


def merged(a):
    """Return the images of all tasks along one axis, shape (b shots, ...)."""
    return a.reshape((-1, a.shape[-1]))
