"""Time the layers of exercises.md and speed.md beside each other and print tables.

Each figure is the shortest of two to sixty calls after a first one, in milliseconds;
ratios are between figures of this run.
"""

import os
import platform
import time

os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))  # as NumPy, see speed.md

from pages import ROOT, definitions, read

PAGE = definitions(read(ROOT / "book" / "exercises.md"))
SPEED = definitions(read(ROOT / "book" / "speed.md"))
mx, np, npx, numpy = (PAGE[name] for name in ("mx", "np", "npx", "numpy"))


def milliseconds(function, repeat):
    """The shortest of several calls, each until its result is there."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        npx.waitall()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def row(*columns):
    print("  {:<44} {:>12} {:>18}".format(*columns))


def reduction(batch, n, units):
    """The tensor reduction: einsum as it stands and optimized, and the product."""
    print(f"Tensor reduction, batch {batch}, n = {n}, u = {units}")
    slow = PAGE["EinsumReduction"](units, n)
    fast = PAGE["TensordotReduction"](units, n)
    slow.initialize()
    fast.initialize()
    fast.weight.set_data(slow.weight.data())
    x = np.random.normal(size=(batch, n))
    y, product = slow(x).asnumpy(), fast(x).asnumpy()
    weight = slow.weight.data()

    def optimized():
        return np.einsum("ijk,...i,...j->...k", weight, x, x, optimize=True)

    times = {
        "EinsumReduction": milliseconds(lambda: slow(x), 2),
        "its einsum with optimize=True": milliseconds(optimized, 2),
        "TensordotReduction": milliseconds(lambda: fast(x), 10),
    }
    fast.hybridize()
    fast(x)
    times["TensordotReduction, hybridized"] = milliseconds(lambda: fast(x), 10)
    row("", "ms", "einsum / this")
    for name, value in times.items():
        row(name, f"{value:.2f}", f"{times['EinsumReduction'] / value:.0f}")
    error = abs(product - y).max() / abs(y).max()
    print(f"  largest difference, relative to the largest output: {error:.1e}\n")


def fourier(batch, n):
    """The half Fourier transform: the product, NumPy's FFT, and what it needs."""
    print(f"Half Fourier transform, forward, batch {batch}, n = {n}")
    product, fast = PAGE["ProductHalfFourier"](), PAGE["FFTHalfFourier"]()
    x = np.random.normal(size=(batch, n))
    data, half = x.asnumpy(), numpy.zeros((batch, n // 2, 2), dtype="float32")
    product(x).asnumpy(), fast(x).asnumpy()
    floor = milliseconds(lambda: numpy.fft.rfft(data), 20)
    floor += milliseconds(lambda: x.asnumpy(), 20)
    floor += milliseconds(lambda: np.array(half, dtype="float32"), 20)
    row("", "ms", "this / rfft+copies")
    for name, value in [
        ("numpy.fft.rfft and the copies in and out", floor),
        ("FFTHalfFourier", milliseconds(lambda: fast(x), 20)),
        ("ProductHalfFourier", milliseconds(lambda: product(x), 5)),
    ]:
        row(name, f"{value:.2f}", f"{value / floor:.1f}")
    print()


def dense(batch, in_units, units):
    """The fully connected layers, hybridized where they can be, and NumPy's product."""
    print(f"Dense with ReLU, batch {batch}, {in_units} to {units} units")
    nn, autograd = PAGE["nn"], PAGE["autograd"]
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
        calls[f"{name}, and its gradient"] = lambda layer=layer: train(layer)
    data, weight = x.asnumpy(), layers["HybridDense"].weight.data().asnumpy()
    calls["NumPy's product alone"] = lambda: data @ weight

    # In turn, so that a slow moment of the machine hits them all.
    times = dict.fromkeys(calls, float("inf"))
    for _ in range(60):
        for name, call in calls.items():
            times[name] = min(times[name], milliseconds(call, 1))
    row("", "ms", "this / nn.Dense")
    for name, value in times.items():
        part = ", and its gradient"
        builtin = times["nn.Dense" + part * name.endswith(part)]
        row(name, f"{value:.2f}", f"{value / builtin:.2f}")
    print()


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":")[1].strip() for line in file if "model name" in line]
        return f"{names[0]}, {len(names)} cores"
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    print(f"{platform.node()}: {platform.system()}, {processor()}\n")
    mx.random.seed(0)
    reduction(32, 64, 32)
    reduction(256, 128, 64)
    for n in (16, 64, 256, 1024, 4096):
        fourier(64, n)
    dense(2, 5, 3)
    dense(256, 784, 256)
    dense(256, 1024, 1024)
