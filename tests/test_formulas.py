"""Layers compare with their formulas in NumPy, for inputs with a further axis.

This covers layers of pages that explain something other than their formula.
"""

import numpy
import pytest

from tests.conftest import MUTANT
from tests.test_training import LAYERS


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
    if MUTANT and name not in book:
        pytest.skip("a different page defines it")
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
    expected = formula(data.astype("float64"), **values)
    assert numpy.allclose(layer(np.array(data)).asnumpy(), expected, 1e-4, 1e-4)


def test_gain_gets_a_straight_through_gradient(book):
    if MUTANT and "GainRounding" not in book:
        pytest.skip("a different page defines it")
    np = book["np"]
    layer, x, dy = book["GainRounding"](), np.array([[0.3, -1.2, 2.4]]), np.array([[1, 2, 3]])
    layer.initialize()
    with book["autograd"].record():
        total = (layer(x) * dy).sum()
    total.backward()
    assert layer.gain.grad().item() == pytest.approx(0.3 - 2.4 + 7.2)
