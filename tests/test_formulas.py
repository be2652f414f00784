"""Layers compare with their formulas in NumPy, for inputs with a further axis.

This covers layers of pages that explain something other than their formula.
"""

import os
import warnings

import nbformat
import numpy
import pytest

from tools.build.notebook import load_definitions, pages_with_code

# tools/quality/mutants.py sets MUTANT to a notebook that it has mutated.
MUTANT = os.environ.get("MUTANT")


def relu(x):
    return numpy.maximum(0, x)


DENSE = {"weight": (4, 3), "bias": (3,)}
SIZES = {"units": 3, "in_units": 4}
# The constructor's arguments, the shapes of the parameters, and the formula
FORMULAS = {
    "MyDense": (SIZES, DENSE, lambda x, weight, bias: relu(x @ weight + bias)),
    "MyTanhDense": (SIZES, DENSE, lambda x, weight, bias: numpy.tanh(x @ weight + bias)),
    "ZeroBiasDense": (SIZES, DENSE, lambda x, weight, bias: relu(x @ weight + bias)),
    "InferredDense": ({"units": 3}, DENSE, lambda x, weight, bias: relu(x @ weight + bias)),
    "LazyDense": ({"units": 3}, DENSE, lambda x, weight, bias: relu(x @ weight + bias)),
    "FastDense": (
        {"units": 3},
        {"weight": (3, 4), "bias": (3,)},
        lambda x, weight, bias: relu(x @ weight.T + bias),
    ),
    "SquareDense": ({}, {"weight": (4, 4)}, lambda x, weight: relu(x @ weight)),
    "ExplicitScale": ({}, {"scale": (4,)}, lambda x, scale: x * scale),
    "RunningCenter": ({}, {"running_mean": (1,)}, lambda x, running_mean: x - running_mean),
    "GainRounding": ({}, {"gain": (1,)}, lambda x, gain: numpy.round(gain * x)),
    "RoundingLayer": ({}, {}, numpy.round),
    "HybridRounding": ({}, {}, numpy.round),
    "OneBit": ({}, {}, numpy.sign),
    "SigmoidLayer": ({}, {}, lambda x: 1 / (1 + numpy.exp(-x))),
    "GradientReversal": ({"scale": 2}, {}, lambda x: x),
    "TracedPositive": ({}, {}, lambda x: x * numpy.sign(x.sum())),
    "RootScaled": ({}, {}, lambda x: x / 2),
}


@pytest.fixture(scope="module")
def pages():
    """Return what the pages define, or what a mutated page defines in its place."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MXNet uses deprecated names of NumPy
        if MUTANT:
            return load_definitions(nbformat.read(MUTANT, as_version=4))
        definitions = {}
        for notebook in pages_with_code().values():
            definitions |= load_definitions(notebook)
    return definitions


@pytest.mark.parametrize("name", FORMULAS)
def test_layer_computes_its_formula(pages, name):
    if MUTANT and name not in pages:
        pytest.skip("a different page defines it")
    arguments, shapes, formula = FORMULAS[name]
    np, random = pages["np"], numpy.random.default_rng(0)
    data = random.normal(size=(2, 3, 4)).astype("float32")
    layer = pages[name](**arguments, prefix="my_")
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


def test_gain_gets_a_straight_through_gradient(pages):
    if MUTANT and "GainRounding" not in pages:
        pytest.skip("a different page defines it")
    np = pages["np"]
    layer, x, dy = pages["GainRounding"](), np.array([[0.3, -1.2, 2.4]]), np.array([[1, 2, 3]])
    layer.initialize()
    with pages["autograd"].record():
        total = (layer(x) * dy).sum()
    total.backward()
    assert layer.gain.grad().item() == pytest.approx(0.3 - 2.4 + 7.2)
