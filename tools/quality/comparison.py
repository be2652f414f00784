"""Compare the text of outputs, in which decimal numbers may differ by their rounding.

Processors round differently, so a relative difference of RELATIVE_TOLERANCE is allowed.
Words, shapes, integers, and the count of numbers must be equal.
"""

import math
import re

RELATIVE_TOLERANCE = 2e-6
# Two numbers below this magnitude are equal: both are zero up to rounding.
ZERO_TOLERANCE = 1e-6

# A number with a decimal point or an exponent, and the white space that NumPy pads it
# with. The number mustn't be part of a name, a version, or a path.
DECIMAL = re.compile(
    r"\s*(?<![\w.])([-+]?(?:\d+\.\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|\d+e[-+]?\d+))"
    r"(?!(?!j\b)\w|\.\d)\s*",
    re.IGNORECASE,
)


def numbers_match(a, b):
    """Return whether two floats are equal up to rounding."""
    if abs(a) < ZERO_TOLERANCE and abs(b) < ZERO_TOLERANCE:
        return True
    return math.isclose(a, b, rel_tol=RELATIVE_TOLERANCE)


def outputs_match(a, b):
    """Return whether two output texts are equal up to the rounding of their decimals."""
    numbers = zip(DECIMAL.findall(a), DECIMAL.findall(b))
    # Equal lists of words imply equal counts of numbers.
    return DECIMAL.split(a)[::2] == DECIMAL.split(b)[::2] and all(
        numbers_match(float(x), float(y)) for x, y in numbers
    )


def relative_deviation(a, b):
    """Return the largest relative difference between the decimals of matching outputs."""
    pairs = zip(*(map(float, DECIMAL.findall(text)) for text in (a, b)))
    large = ((x, y) for x, y in pairs if max(abs(x), abs(y)) >= ZERO_TOLERANCE)
    return max((abs(x - y) / max(abs(x), abs(y)) for x, y in large), default=0.0)


def mark_differences(recorded, new):
    """Return two output texts with the decimals that don't match in »guillemets«.

    Texts that differ in anything else are returned as they are.
    """
    parts = DECIMAL.split(recorded), DECIMAL.split(new)
    if parts[0][::2] != parts[1][::2]:
        return recorded, new
    for i in range(1, len(parts[0]), 2):
        a, b = float(parts[0][i]), float(parts[1][i])
        if not numbers_match(a, b):
            difference = abs(a - b) / max(abs(a), abs(b))
            parts[0][i] = f" »{parts[0][i]}« "
            parts[1][i] = f" »{parts[1][i]}« (differs by {difference:.1g} of its magnitude) "
        else:
            parts[0][i], parts[1][i] = f" {parts[0][i]} ", f" {parts[1][i]} "
    return "".join(parts[0]), "".join(parts[1])
