"""What readers may copy from pages that explain something else computes what it should.

Layers are compared with their formulas in NumPy, for inputs with a further axis. Functions that
measure times get a clock that isn't real.
"""

import numpy
import pytest

from tests.conftest import MUTANT
from tests.test_training import LAYERS


def skip_unless_defined(book, name):
    """Skip a test of what a different page than the mutant's defines."""
    if MUTANT and name not in book:
        pytest.skip("a different page defines it")


def relu(x):
    return numpy.maximum(0, x)


DENSE = {"weight": (4, 3), "bias": (3,)}
# The shapes of the parameters, for a constructor's arguments in LAYERS, and the formula
FORMULAS = {
    "MyDense": (DENSE, lambda x, weight, bias: relu(x @ weight + bias)),
    "MyTanhDense": (DENSE, lambda x, weight, bias: numpy.tanh(x @ weight + bias)),
    "ZeroBiasDense": (DENSE, lambda x, weight, bias: relu(x @ weight + bias)),
    "InferredDense": (DENSE, lambda x, weight, bias: relu(x @ weight + bias)),
    "LazyDense": (DENSE, lambda x, weight, bias: relu(x @ weight + bias)),
    "FastDense": (
        {"weight": (3, 4), "bias": (3,)},
        lambda x, weight, bias: relu(x @ weight.T + bias),
    ),
    "SquareDense": ({"weight": (4, 4)}, lambda x, weight: relu(x @ weight)),
    "ExplicitScale": ({"scale": (4,)}, lambda x, scale: x * scale),
    "RunningCenter": ({"running_mean": (1,)}, lambda x, running_mean: x - running_mean),
    "GainRounding": ({"gain": (1,)}, lambda x, gain: numpy.round(gain * x)),
    "RoundingLayer": ({}, numpy.round),
    "HybridRounding": ({}, numpy.round),
    "OneBit": ({}, numpy.sign),
    "SigmoidLayer": ({}, lambda x: 1 / (1 + numpy.exp(-x))),
    "GradientReversal": ({}, lambda x: x),
    "TracedPositive": ({}, lambda x: x * numpy.sign(x.sum())),
    "RootScaled": ({}, lambda x: x / 2),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_layer_computes_its_formula(book, name):
    skip_unless_defined(book, name)
    [arguments, width], [shapes, formula] = LAYERS[name], FORMULAS[name]
    np, random = book["np"], numpy.random.default_rng(0)
    data = random.normal(size=(2, 3, width)).astype("float32")
    layer = book[name](**arguments, prefix="my_")
    assert layer.prefix == "my_"
    layer.initialize()
    if name in ("ZeroBiasDense", "InferredDense", "LazyDense", "FastDense"):
        layer(np.array(data))
        assert (layer.bias.data() == 0).all()
    if name == "ExplicitScale":
        assert (layer(np.array(data)).asnumpy() == data).all()
    layer(np.array(data))
    parameters = {key.removeprefix("my_"): p for key, p in layer.collect_params().items()}
    assert {key: parameter.shape for key, parameter in parameters.items()} == shapes
    values = {key: random.uniform(0.5, 2, size=shape) for key, shape in shapes.items()}
    for key, value in values.items():
        parameters[key].set_data(np.array(value))
    for batch in data, 0.01 * abs(data):
        expected = formula(batch.astype("float64"), **values)
        right = numpy.allclose(layer(np.array(batch)).asnumpy(), expected, 1e-4, 1e-4)
        assert right, f"{name} doesn't compute its formula in FORMULAS"


def test_gain_gets_a_straight_through_gradient(book):
    skip_unless_defined(book, "GainRounding")
    np = book["np"]
    layer, x, dy = book["GainRounding"](), np.array([[0.3, -1.2, 2.4]]), np.array([[1, 2, 3]])
    layer.initialize()
    with book["autograd"].record():
        total = (layer(x) * dy).sum()
    total.backward()
    assert layer.gain.grad().item() == pytest.approx(0.3 - 2.4 + 7.2)


def test_guard_accepts_any_length_with_a_name_and_nan_if_allowed(book):
    skip_unless_defined(book, "guard_inputs")
    np, block = book["np"], book["nn"].HybridLambda(lambda F, x: x)
    guard = book["guard_inputs"](block, ("batch", 2))
    for size in 1, 3:
        assert block(np.ones((size, 2))).shape == (size, 2)
    with pytest.raises(ValueError, match="NaN or infinity"):
        block(np.array([[1, np.nan]]))
    guard.detach()
    book["guard_inputs"](block, ("batch", 2), finite=False)
    assert numpy.isnan(block(np.array([[1, np.nan]])).asnumpy()).any()


def test_checked_loss_rejects_every_label_out_of_range(book):
    skip_unless_defined(book, "CheckedCrossEntropy")
    np, losses = book["np"], book["gluon"].loss
    checked, unchecked = book["CheckedCrossEntropy"](), losses.SoftmaxCrossEntropyLoss()
    scores, weights = np.random.normal(size=(2, 5, 3)), np.array([[[2.0]], [[3.0]]])
    labels = np.array([[0, 1, 2, 0, 1]] * 2)
    for extra in [], [weights]:
        expected = unchecked(scores, labels, *extra).asnumpy()
        assert (checked(scores, labels, *extra).asnumpy() == expected).all()
    for wrong in -1, 3:
        labels[1, 2] = wrong
        with pytest.raises(ValueError, match="labels from 0 to 2"):
            checked(scores, labels)


def test_stopwatch_keeps_the_shortest_time_and_waits_if_told(book, monkeypatch, capsys):
    skip_unless_defined(book, "time_in_milliseconds")
    clock, waits = iter([10, 10.5, 20, 20.25, 30, 30.75]), []
    monkeypatch.setattr(book["time"], "perf_counter", lambda: next(clock))
    monkeypatch.setattr(book["npx"], "waitall", lambda: waits.append(None))
    times = book["time_in_milliseconds"]({"call": abs}, -1, rounds=2)
    assert times == {"call": 250} and len(waits) == 4
    book["time_in_milliseconds"]({"call": abs}, -1, rounds=1, wait=False)
    assert len(waits) == 5
    for limits, printed in [
        ({}, ""),
        ({"at_least": 3}, "That isn't"),
        ({"at_most": 1}, "That isn't"),
    ]:
        book["print_ratio"]({"a": 6, "b": 3}, "a", "b", **limits)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "a takes 2.00 times as long as b."
        assert len(lines) == 1 + bool(printed) and lines[-1].startswith(printed)


def test_profile_is_per_call(book, monkeypatch):
    skip_unless_defined(book, "profile_in_milliseconds")
    operators = {"operator": {"dot": {"Total": 6.0}}}
    clock = iter([10, 13])
    monkeypatch.setattr(book["time"], "perf_counter", lambda: next(clock))
    monkeypatch.setattr(book["json"], "loads", lambda text: {"Time": operators})
    assert book["profile_in_milliseconds"](abs, -1, rounds=3) == (1000, {"dot": 2.0})
