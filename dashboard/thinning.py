"""Long curves with fewer points and the same extremes.

Shapes: S series, N points, K points that are kept, B buckets of points.
"""

import numpy as np


def thin(epoch_N: np.ndarray, series_SN: np.ndarray, most: int) -> np.ndarray:
    """The points to keep, int64 index_K in rising order: all of them where there are no more than `most`.

    epoch_N: rising numbers. series_SN: float64; NaN is a missing value. The range of epochs is cut into
    buckets of equal width; of each bucket the lowest and the highest point of every series stay, and so do
    the first and the last point. So the highest and the lowest value of a curve are never lost, also by
    thinning what was thinned, and a kept point keeps all its series.
    Raises ValueError: if `most` is too small for one bucket: 2 · S + 2.
    """
    series, points = series_SN.shape
    if points <= most:
        return np.arange(points)
    buckets = (most - 2) // (2 * max(series, 1))
    if buckets < 1:
        raise ValueError(
            f"{most} points cannot keep the extremes of {series} series: at least {2 * series + 2} are needed"
        )
    edges = np.linspace(epoch_N[0], epoch_N[-1], buckets + 1)[1:-1]
    bucket_N = np.searchsorted(edges, epoch_N, side="right")
    begins = np.flatnonzero(np.diff(bucket_N, prepend=-1))
    sizes = np.diff(begins, append=points)
    kept = [np.array([0, points - 1])]
    for value_N in series_SN:
        for reduce in (np.fmin, np.fmax):
            extreme_N = np.repeat(reduce.reduceat(value_N, begins), sizes)
            reached = np.flatnonzero(value_N == extreme_N)
            # Of equal extremes the first of each bucket.
            kept.append(reached[np.flatnonzero(np.diff(bucket_N[reached], prepend=-1))])
    return np.unique(np.concatenate(kept))
