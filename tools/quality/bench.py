"""Time the layers of the exercises and of the page on speed, and print tables.

Times are the shortest of several calls after a first one, in milliseconds. Ratios are
between times of the same run.
"""

import os
import platform
import time

os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))  # as many as NumPy uses

from tools.build.notebook import load_definitions, read_page
from tools.project import BOOK, EXERCISES

PAGE = load_definitions(read_page(EXERCISES))
SPEED = load_definitions(read_page(BOOK / "speed.md"))
mx, np, npx, numpy, nn = (PAGE[name] for name in ("mx", "np", "npx", "numpy", "nn"))
autograd = PAGE["autograd"]


def shortest_times(calls, repeat):
    """Return the shortest time of each function, in milliseconds.

    The functions take turns, so that a slow moment of the machine affects all of them.
    """
    times = dict.fromkeys(calls, float("inf"))
    for _ in range(repeat):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            npx.waitall()
            times[name] = min(times[name], 1000 * (time.perf_counter() - start))
    return times


def print_table(title, ratio_heading, rows):
    """Print rows of a name, milliseconds, and a ratio."""
    print(f"{title}\n  {'':<44} {'ms':>12} {ratio_heading:>18}")
    for name, milliseconds, ratio in rows:
        print(f"  {name:<44} {milliseconds:>12.2f} {ratio:>18.2f}")
    print()


def time_reduction(batch, n, units):
    """Time the tensor reduction by einsum, plain and optimized, and by products."""
    slow, fast = PAGE["EinsumReduction"](units, n), PAGE["TensordotReduction"](units, n)
    slow.initialize()
    fast.initialize()
    fast.weight.set_data(slow.weight.data())
    x, weight = np.random.normal(size=(batch, n)), slow.weight.data()
    y, y_fast = slow(x).asnumpy(), fast(x).asnumpy()
    compiled = PAGE["TensordotReduction"](units, n, params=fast.params)
    compiled.hybridize()
    compiled(x)
    times = shortest_times(
        {
            "EinsumReduction": lambda: slow(x),
            "its einsum with optimize=True": lambda: np.einsum(
                "ijk,...i,...j->...k", weight, x, x, optimize=True
            ),
        },
        2,
    ) | shortest_times(
        {
            "TensordotReduction": lambda: fast(x),
            "TensordotReduction, hybridized": lambda: compiled(x),
        },
        10,
    )
    rows = [(name, ms, times["EinsumReduction"] / ms) for name, ms in times.items()]
    print_table(f"Tensor reduction, batch {batch}, n = {n}, u = {units}", "einsum / this", rows)
    error = abs(y_fast - y).max() / abs(y).max()
    print(f"  largest difference, relative to the largest output: {error:.1e}\n")


def time_fourier(batch, n):
    """Time the half Fourier transform: matrix products, NumPy's FFT, and its parts."""
    product, fast = PAGE["ProductHalfFourier"](), PAGE["FFTHalfFourier"]()
    x = np.random.normal(size=(batch, n))
    data, half = x.asnumpy(), numpy.zeros((batch, n // 2, 2), dtype="float32")
    product(x).asnumpy(), fast(x).asnumpy()

    def transform_and_copy():
        numpy.fft.rfft(data), x.asnumpy(), np.array(half, dtype="float32")

    floor = "numpy.fft.rfft and the copies in and out"
    times = shortest_times(
        {
            floor: transform_and_copy,
            "FFTHalfFourier": lambda: fast(x),
            "ProductHalfFourier": lambda: product(x),
        },
        20,
    )
    rows = [(name, ms, ms / times[floor]) for name, ms in times.items()]
    print_table(f"Half Fourier transform, batch {batch}, n = {n}", "this / rfft+copies", rows)


def time_dense(batch, in_units, units):
    """Time fully connected layers, hybridized where possible, and NumPy's product."""
    layers = {
        "nn.Dense": nn.Dense(units, activation="relu"),
        "FastDense": SPEED["FastDense"](units),
        "HybridDense": SPEED["HybridDense"](units, in_units),
        "MyDense, which cannot be hybridized": SPEED["MyDense"](units, in_units),
    }
    x = np.random.normal(size=(batch, in_units))

    def train(layer):
        with autograd.record():
            y = layer(x)
        y.backward()

    calls = {}
    for name, layer in layers.items():
        layer.initialize()
        layer.hybridize(static_alloc=True, static_shape=True)
        train(layer)
        calls[name] = lambda layer=layer: layer(x)
        calls[f"{name}, with gradients"] = lambda layer=layer: train(layer)
    data, weight = x.asnumpy(), layers["HybridDense"].weight.data().asnumpy()
    calls["NumPy's product alone"] = lambda: data @ weight
    times = shortest_times(calls, 60)
    suffix = ", with gradients"
    rows = [
        (name, ms, ms / times["nn.Dense" + suffix * name.endswith(suffix)])
        for name, ms in times.items()
    ]
    print_table(f"Dense with ReLU, batch {batch}, {in_units} to {units}", "this / nn.Dense", rows)


if __name__ == "__main__":
    print(f"{platform.system()}, {platform.machine()}, {os.cpu_count()} cores\n")
    mx.random.seed(0)
    time_reduction(32, 64, 32)
    time_reduction(256, 128, 64)
    for n in (16, 64, 256, 1024, 4096):
        time_fourier(64, n)
    time_dense(2, 5, 3)
    time_dense(256, 784, 256)
    time_dense(256, 1024, 1024)
