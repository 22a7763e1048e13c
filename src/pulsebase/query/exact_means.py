"""Means compared exactly: as doubles where these tell, as fractions where they do not."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.model.rollups import I64, Mask

Places = npt.NDArray[np.intp]
#: Every whole number below this is exact as a double.
_EXACT_IN_DOUBLES = 2**53


def nearest_means(totals: pa.Table, scale: int) -> npt.NDArray[np.float64]:
    """Return the doubles nearest to the means. Rounding keeps the order of the means, so doubles can be compared."""
    sums, counts = totals["sum"].to_numpy(), scale * totals["count"].to_numpy()
    if max(sums.max(initial=0), -sums.min(initial=0), counts.max(initial=0)) < _EXACT_IN_DOUBLES:
        found: npt.NDArray[np.float64] = np.divide(sums, counts)
        return found
    return np.array([total / count for total, count in zip(sums.tolist(), counts.tolist(), strict=True)], np.float64)


def lowest_terms(totals: pa.Table) -> tuple[I64, I64]:
    """Return the means as fractions in lowest terms, in stored units. Equal means give equal fractions."""
    sums, counts = totals["sum"].to_numpy(), totals["count"].to_numpy()
    common = np.gcd(sums, counts)
    return sums // common, counts // common


def above(totals: pa.Table, threshold: Fraction, scale: int) -> Mask:
    """Return whose mean is above the threshold. The exact fraction is compared only where the doubles are equal."""
    doubles, nearest = nearest_means(totals, scale), float(threshold)
    above: Mask = doubles > nearest
    near = np.flatnonzero(doubles == nearest)
    if len(near):
        means = [column.tolist() for column in lowest_terms(totals.take(pa.array(near)))]
        over = {mean: Fraction(*mean) > threshold * scale for mean in set(zip(*means, strict=True))}
        above[near] = [over[mean] for mean in zip(*means, strict=True)]
    return above


def highest_first(totals: pa.Table, scale: int) -> Places:
    """Return the order with the highest mean first, for rows sorted by id. Exact fractions are compared only where the
    doubles are equal.
    """
    doubles = nearest_means(totals, scale)
    order: Places = np.argsort(-doubles, kind="stable")
    sums, counts = lowest_terms(totals.take(pa.array(order)))
    same = doubles[order[1:]] == doubles[order[:-1]]
    unequal = np.flatnonzero(same & ((sums[1:] != sums[:-1]) | (counts[1:] != counts[:-1])))
    run = np.concatenate([[0], np.cumsum(~same)])
    for each in np.unique(run[unequal]):
        first, end = np.searchsorted(run, [each, each + 1]).tolist()
        means = [Fraction(*mean) for mean in zip(sums[first:end].tolist(), counts[first:end].tolist(), strict=True)]
        order[first:end] = order[first:end][sorted(range(end - first), key=means.__getitem__, reverse=True)]
    return order


def in_steps(figure: float, step: Fraction) -> float:
    """Round half to even, to a multiple of the step; whole numbers where steps are. Rounding to nine decimals first
    keeps a half that the last bits of a double have shifted.
    """
    steps = round(round(figure / float(step), 9))
    return steps * int(step) if step.denominator == 1 else float(steps * step)
