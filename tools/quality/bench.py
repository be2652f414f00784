"""Time the layers of the exercises and of the page on speed, and print tables.

A time is the shortest of several calls, in milliseconds. Calls that are compared take turns,
so that a slow moment of the machine affects all of them.
"""

import os
import platform
from functools import partial

# As many threads as NumPy uses. MXNet reads this when it's imported.
os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))

from tools.build.notebook import load_definitions, read_page
from tools.project import BOOK, EXERCISES

EXERCISE = load_definitions(read_page(EXERCISES))
SPEED = load_definitions(read_page(BOOK / "speed.md"))
mx, np, npx, numpy, nn = (SPEED[name] for name in ("mx", "np", "npx", "numpy", "nn"))
time_in_milliseconds = SPEED["time_in_milliseconds"]
forward_and_backward = SPEED["forward_and_backward"]


def print_table(title, times, reference, speedup=False):
    """Print the time of each call and its ratio to that of a reference.

    speedup: print the inverse ratio, how many times as fast as the reference a call is
    """
    heading = f"{reference} / this" if speedup else f"this / {reference}"
    print(f"{title}\n  {'':<40} {'ms':>9} {heading:>28}")
    for name, milliseconds in times.items():
        ratio = milliseconds / times[reference]
        print(f"  {name:<40} {milliseconds:>9.3f} {1 / ratio if speedup else ratio:>28.2f}")
    print()


def time_reduction(batch, n, units):
    """Time the tensor reduction by einsum, plain and optimized, and by products."""
    slow, fast = (EXERCISE[name](units, n) for name in ("EinsumReduction", "TensordotReduction"))
    slow.initialize()
    fast.initialize()
    fast.weight.set_data(slow.weight.data())
    hybridized = EXERCISE["TensordotReduction"](units, n, params=fast.params)
    hybridized.hybridize()
    weight = slow.weight.data()
    einsum = partial(np.einsum, "ijk,...i,...j->...k", weight, optimize=True)
    calls = {
        "EinsumReduction": slow,
        "its einsum with optimize=True": lambda x: einsum(x, x),
        "TensordotReduction": fast,
        "TensordotReduction, hybridized": hybridized,
    }
    x = np.random.normal(size=(batch, n))
    times = time_in_milliseconds(calls, x, rounds=3)
    title = f"Tensor reduction, batch {batch}, n = {n}, u = {units}"
    print_table(title, times, "EinsumReduction", speedup=True)
    error = (abs(fast(x) - slow(x)).max() / abs(slow(x)).max()).item()
    print(f"  largest difference, relative to the largest output: {error:.1e}\n")


def time_fourier(batch, n):
    """Time the half Fourier transform: matrix products, NumPy's FFT, and its parts."""
    product, fast = EXERCISE["ProductHalfFourier"](n), EXERCISE["FFTHalfFourier"]()
    product.initialize()
    half = numpy.zeros((batch, n // 2, 2), dtype="float32")

    def transform_and_copy(x):
        numpy.fft.rfft(x.asnumpy())
        np.array(half)

    calls = {"rfft and copies": transform_and_copy, "FFTHalfFourier": fast}
    calls["ProductHalfFourier"] = product
    times = time_in_milliseconds(calls, np.random.normal(size=(batch, n)), rounds=30)
    print_table(f"Half Fourier transform, batch {batch}, n = {n}", times, "rfft and copies")


def time_dense(batch, in_units, units):
    """Time fully connected layers, hybridized where possible, and NumPy's product."""
    layers = {
        "nn.Dense": nn.Dense(units, activation="relu"),
        "FastDense": SPEED["FastDense"](units),
        "MyDense": SPEED["MyDense"](units, in_units),
    }
    x = np.random.normal(size=(batch, in_units))
    for layer in layers.values():
        layer.initialize()
        layer.hybridize(static_alloc=True, static_shape=True)
    title = f"Dense with ReLU, batch {batch}, {in_units} to {units}"
    data, weight = x.asnumpy(), layers["MyDense"].weight.data().asnumpy()
    alone = layers | {"NumPy's product": lambda x: data @ weight}
    print_table(title, time_in_milliseconds(alone, x, rounds=60), "nn.Dense")
    training = {name: partial(forward_and_backward, layer) for name, layer in layers.items()}
    title += ", with gradients"
    print_table(title, time_in_milliseconds(training, x, rounds=60), "nn.Dense")


if __name__ == "__main__":
    print(f"{platform.system()}, {platform.machine()}, {os.cpu_count()} cores\n")
    mx.random.seed(0)
    time_reduction(32, 64, 32)
    time_reduction(256, 128, 64)
    for n in (16, 64, 256, 1024, 4096):
        time_fourier(64, n)
    for sizes in ((2, 5, 3), (256, 784, 256), (256, 1024, 1024)):
        time_dense(*sizes)
