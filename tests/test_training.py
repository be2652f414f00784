"""Every layer that readers may copy trains: in networks, plain and hybridized, frozen and not.

Each layer stands between two fully connected layers. Its gradients in float32 are compared
with those in float64, and these with finite differences where the layer doesn't choose its
gradient itself. A training loop that never waits, under the time limit in pyproject.toml, finds
layers that deadlock or that read memory which is overwritten meanwhile.
"""

import numpy
import pytest

# Constructor arguments of each layer, and how many values an example has.
LAYERS = {
    "CenteredLayer": ({}, 4),
    "CenteredExamples": ({}, 4),
    "MyDense": ({"units": 3, "in_units": 4}, 4),
    "PowerSpectrum": ({"n": 6}, 6),
    "RMSNorm": ({}, 4),
    "PlainAffineLayer": ({"in_units": 4}, 4),
    "HybridAffineLayer": ({"in_units": 4}, 4),
    "EinsumReduction": ({"units": 3, "in_units": 4}, 4),
    "TensordotReduction": ({"units": 3, "in_units": 4}, 4),
    "ProductHalfFourier": ({"in_units": 6}, 6),
    "FFTHalfFourier": ({}, 6),
    "Normalize": ({}, 4),
    "MyTanhDense": ({"units": 3, "in_units": 4}, 4),
    "InferredDense": ({"units": 3}, 4),
    "ExplicitScale": ({}, 4),
    "LazyDense": ({"units": 3}, 4),
    "SquareDense": ({}, 4),
    "PrintingDense": ({"units": 3}, 4),
    "FastDense": ({"units": 3}, 4),
    "ZeroBiasDense": ({"units": 3, "in_units": 4}, 4),
    "RunningCenter": ({}, 4),
    "RoundingLayer": ({}, 4),
    "HybridRounding": ({}, 4),
    "GainRounding": ({}, 4),
    "SigmoidLayer": ({}, 4),
    "GradientReversal": ({"scale": 2}, 4),
    "OneBit": ({}, 4),
    "TracedPositive": ({}, 4),
    "RootScaled": ({}, 4),
}
# Layers that define a gradient of their own, which differs from that of their function.
CHOSEN_GRADIENT = {
    "RoundingLayer", "HybridRounding", "GainRounding", "GradientReversal", "OneBit",
}  # fmt: skip
# Layers that are wrong on purpose, that readers complete, or that consist of other layers.
NOT_TRAINED = {
    "AffineLayer", "TensorReduction", "HalfFourier", "FeatureMean", "NoParameter",
    "DiagonalOnly", "BlockedGradient", "Gain", "Residual", "ScaledResidual",
    "UnsafeGainRounding", "ForgetfulCube", "CheckedCrossEntropy",
}  # fmt: skip


def test_every_layer_is_listed(book):
    block = book["nn"].Block
    defined = {
        name
        for name, value in book.items()
        if isinstance(value, type) and issubclass(value, block) and value.__module__ == "builtins"
    }
    unlisted = ", ".join(sorted(defined - set(LAYERS) - NOT_TRAINED))
    assert not unlisted, f"add {unlisted} to LAYERS in tests/test_training.py, or to NOT_TRAINED"
    assert defined == set(LAYERS) | NOT_TRAINED


class Trial:
    """A network around a layer, with the same parameters and data for all settings."""

    def __init__(self, book, name, dtype="float32", hybridize=False, frozen=False, add=False):
        mx, np, nn = book["mx"], book["np"], book["nn"]
        self.autograd, self.gluon = book["autograd"], book["gluon"]
        arguments, width = LAYERS[name]
        mx.random.seed(3)
        self.layer = book[name](**arguments)
        # Sequential can hold a Block; HybridSequential can be hybridized as a whole.
        hybrid = issubclass(book[name], nn.HybridBlock)
        self.net = nn.HybridSequential() if hybrid else nn.Sequential()
        self.net.add(nn.Dense(width, activation="tanh"), self.layer, nn.Dense(1))
        self.net.initialize(mx.init.Normal(0.5))
        x, y = np.random.normal(size=(6, 5)), np.random.normal(size=(6, 1))
        self.net(x)  # the parameters' sizes are known from here on
        for parameter in self.net.collect_params().values():
            if parameter.grad_req != "null":
                parameter.set_data(np.random.uniform(0.3, 1, size=parameter.shape))
        if dtype != "float32":
            self.net.cast(dtype)
        self.x, self.y = x.astype(dtype), y.astype(dtype)
        if frozen:
            self.layer.collect_params().setattr("grad_req", "null")
        self.learned = [p for p in self.net.collect_params().values() if p.grad_req != "null"]
        if add:
            for parameter in self.learned:
                parameter.grad_req = "add"
            self.net.collect_params().zero_grad()
        if hybridize:
            self.net.hybridize()

    def loss(self):
        with self.autograd.train_mode():
            return ((self.net(self.x) - self.y) ** 2).mean()

    def backward(self):
        with self.autograd.record():
            loss = self.loss()
        loss.backward()

    def gradients(self):
        """Return the gradients of all parameters except those of the layer, and then these."""
        self.backward()
        own = [p for p in self.layer.collect_params().values() if p in self.learned]
        others = [self.net[0].weight, self.net[0].bias, self.net[2].weight, self.net[2].bias]
        return [parameter.grad().asnumpy() for parameter in others + own]

    def input_gradient(self, grad_req):
        """Return the gradient of the layer's own input after three passes."""
        x = self.net[0](self.x).detach()
        x.attach_grad(grad_req=grad_req)
        for _ in range(3):
            with self.autograd.record():
                total = (self.layer(x) ** 2).sum()
            total.backward()
        return x.grad.asnumpy()

    def train(self):
        """Return all learned values after 20 steps, in which nothing waits for a result."""
        trainer = self.gluon.Trainer(self.learned, "sgd", {"learning_rate": 0.01})
        for _ in range(20):
            self.backward()
            trainer.step(1)
        return [parameter.data().asnumpy() for parameter in self.learned]


def assert_close(arrays, expected):
    for a, b in zip(arrays, expected, strict=True):
        scale = abs(b).max() + 1e-3
        assert numpy.isfinite(a).all() and abs(a - b).max() < 1e-3 * scale


SETTINGS = [
    {},
    {"hybridize": True},
    {"frozen": True},
    {"frozen": True, "hybridize": True},
    {"dtype": "float64", "hybridize": True},
]


@pytest.mark.parametrize("name", LAYERS)
def test_layer_trains_in_every_setting(book, name):
    hybrid = issubclass(book[name], book["nn"].HybridBlock)
    settings = [s for s in SETTINGS if hybrid or "hybridize" not in s]
    gradients = Trial(book, name, dtype="float64").gradients()
    trained = {
        frozen: Trial(book, name, dtype="float64", frozen=frozen).train()
        for frozen in (False, True)
    }
    for setting in settings:
        found = Trial(book, name, **setting).gradients()
        assert_close(found, gradients[: len(found)])  # a frozen layer has none of its own
        expected = trained[setting.get("frozen", False)]
        assert_close(Trial(book, name, **setting).train(), expected)


@pytest.mark.parametrize("name", LAYERS)
def test_network_that_has_the_layer_twice_trains(book, name):
    """MXNet 1.9.1 deadlocks if both layers have a function that doesn't wait for a saved copy."""
    nn, np, autograd = book["nn"], book["np"], book["autograd"]
    arguments, width = LAYERS[name]
    net, x = nn.Sequential(), np.ones((2, 5))
    for _ in range(2):
        net.add(nn.Dense(width), book[name](**arguments))
    net.initialize()
    net(x)
    trainer = book["gluon"].Trainer(net.collect_params(), "sgd", {"learning_rate": 0.001})
    for _ in range(100):
        with autograd.record():
            total = net(x).sum()  # its gradient is known at once, so backward starts early
        total.backward()
        trainer.step(1)
    assert numpy.isfinite(net(x).asnumpy()).all()


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_add_up(book, name):
    once = Trial(book, name).gradients()
    trial = Trial(book, name, add=True)
    trial.backward()
    trial.backward()
    assert_close([gradient / 3 for gradient in trial.gradients()], once)
    assert_close([trial.input_gradient("add") / 3], [trial.input_gradient("write")])


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in CHOSEN_GRADIENT])
def test_gradient_agrees_with_finite_differences(book, name):
    trial = Trial(book, name, dtype="float64")
    gradient = trial.gradients()[0]
    weight = trial.net[0].weight.data()
    for place in [(0, 0), (1, 2), (LAYERS[name][1] - 1, 4)]:
        value = weight[place].item()
        losses = []
        for step in 1e-6, -1e-6:
            weight[place] = value + step
            losses.append(trial.loss().item())
        weight[place] = value
        assert gradient[place] == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-4, abs=1e-7)
