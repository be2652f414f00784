"""`check_layer`, which readers copy from the page on networks: it rejects wrong layers."""

import pytest

from tests.conftest import MUTANT
from tools.build.notebook import load_definitions, read_page
from tools.project import BOOK

MESSAGES = {
    "ChangesInput": "changes its input",
    "ChangesInputOnce": "changes its input",
    "Remembers": "remembers its last input",
    "LagsBehind": "remembers its last input",
    "MixesExamples": "depends on the rest of the batch",
    "DropsEmptyBatch": "wrong shape for an empty batch",
    "StaysFloat32": "output isn't float64",
    "AlwaysFloat64": "output isn't float32",
    "RejectsNegative": "NaN or infinity for this input and parameters in",
    "WrongInputGradient": "wrong gradient of input",
    "WrongGradientOfBlock": "wrong gradient of input",
    "WrongForNegativeGradients": "wrong gradient of input",
    "RightForScaleOfOne": "wrong gradient of input",
    "RightForEqualScales": "wrong gradient of input",
    "ConstantScale": "wrong gradient of .*scale",
    "ChangesWhenHybridized": "different output once hybridized",
    "LosesGradientWhenHybridized": "wrong gradient of input",
    "KeepsFirstScale": "different output after loading",
    "KeepsBatchSize": "different output once hybridized",
    "ForgetsWhenSaved": "different output after loading",
    "KeepsFirstMean": "different output after loading",
}


@pytest.fixture(scope="module")
def page():
    return load_definitions(MUTANT or read_page(BOOK / "a-network-of-your-own-layers.md"))


def define_wrong_layers(page):
    """Return wrong layers by name."""
    np, nn, autograd = page["np"], page["nn"], page["autograd"]

    class Base(nn.HybridBlock):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.scale = self.params.get("scale", shape=(1,), init="ones")

        def hybrid_forward(self, F, x, scale):
            return x * scale

    class Remembers(Base):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return super().forward(x) + self.calls

    class LagsBehind(Base):
        last = None

        def forward(self, x):
            current, self.last = x if self.last is None else self.last, x
            return super().forward(current)

    class ChangesInput(Base):
        def forward(self, x):
            x[:] = x + 1
            return super().forward(x)

    class ChangesInputOnce(Base):
        def forward(self, x):
            x[:] = abs(x)
            return super().forward(x)

    class MixesExamples(Base):
        def hybrid_forward(self, F, x, scale):
            return x * scale - F.np.sum(x)

    class AlwaysFloat64(Base):
        def forward(self, x):
            return super().forward(x).astype("float64")

    class RejectsNegative(Base):
        def hybrid_forward(self, F, x, scale):
            return F.np.sqrt(F.np.concatenate([x, -x], axis=-1)) * scale

    class DropsEmptyBatch(Base):
        def forward(self, x):
            return super().forward(x) if len(x) else np.zeros((1, *x.shape[1:]))

    class StaysFloat32(Base):
        def forward(self, x):
            return super().forward(x).astype("float32")

    class Doubled(autograd.Function):
        def forward(self, x):
            return x * 1

        def backward(self, dy):
            return 2 * dy

    class WrongInputGradient(Base):
        def forward(self, x):
            return Doubled()(x * 1) * self.scale.data(x.ctx)

    class WrongGradientOfBlock(nn.Block):
        def forward(self, x):
            return Doubled()(x * 1)

    class Positive(Doubled):
        def backward(self, dy):
            return dy.abs()

    class WrongForNegativeGradients(nn.Block):
        def forward(self, x):
            return Positive()(x * 1)

    class RightForScaleOfOne(Base):
        def forward(self, x):
            return x + x.detach() * (self.scale.data(x.ctx) - 1)

    class RightForEqualScales(nn.Block):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.scale = self.params.get("scale", shape=(4,), init="ones")

        def forward(self, x):
            scale = self.scale.data(x.ctx)
            first = scale[:1].detach()
            return x * first + x.detach() * (scale - first)

    class ConstantScale(Base):
        def forward(self, x):
            return x * self.scale.data(x.ctx).detach() + 0 * self.scale.data(x.ctx)

    class ChangesWhenHybridized(Base):
        def hybrid_forward(self, F, x, scale):
            return x * scale if F is page["mx"].ndarray else x + scale

    class KeepsBatchSize(Base):
        def forward(self, x):
            self.size = len(x)
            return super().forward(x)

        def hybrid_forward(self, F, x, scale):
            return F.np.ones((self.size, 1)) * x * scale

    class LosesGradientWhenHybridized(Base):
        def hybrid_forward(self, F, x, scale):
            y = x * scale
            if F is not page["mx"].ndarray:
                y = F.BlockGrad(y.as_nd_ndarray()).as_np_ndarray()
            return y

    class KeepsFirstScale(Base):
        size = None

        def forward(self, x):
            self.size = abs(x).max().item() if self.size is None else self.size
            return super().forward(x) / self.size

    class ForgetsWhenSaved(nn.Block):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.scale = np.random.uniform(1, 2, size=1)

        def forward(self, x):
            return x * self.scale.astype(x.dtype)

    class KeepsFirstMean(Base):
        mean = None

        def forward(self, x):
            self.mean = x.mean().item() if self.mean is None else self.mean
            return super().forward(x) - self.mean

    return locals()


@pytest.fixture(scope="module")
def wrong_layers(page):
    return define_wrong_layers(page)


@pytest.mark.parametrize("name, message", MESSAGES.items())
def test_wrong_layer_is_rejected(page, wrong_layers, name, message):
    with pytest.raises(AssertionError, match=message):
        page["check_layer"](wrong_layers[name], page["np"].random.normal(size=(3, 4)))


def test_layer_that_cannot_be_hybridized_in_a_network_is_rejected(page):
    class Tanh(page["nn"].HybridBlock):
        def forward(self, x):
            return page["np"].tanh(x)

    with pytest.raises(TypeError, match="_Symbol"):
        page["check_layer"](Tanh, page["np"].random.normal(size=(3, 4)))


def test_parameter_without_init_is_rejected(page, wrong_layers):
    class RandomBias(wrong_layers["Base"]):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.scale.init = None

    with pytest.raises(ValueError, match="Xavier initializer cannot be applied to vector"):
        page["check_layer"](RandomBias, page["np"].random.normal(size=(3, 4)))


RIGHT_LAYERS = {
    "RMSNorm": lambda page: page["RMSNorm"](),
    "Dense": lambda page: page["nn"].Dense(3),
    "Dropout": lambda page: page["nn"].Dropout(0.5),
    "BatchNorm": lambda page: page["nn"].BatchNorm(),
}


@pytest.mark.parametrize("name, build", RIGHT_LAYERS.items())
def test_right_layer_is_accepted(page, name, build):
    x = page["np"].random.normal(size=(3, 4))
    empty_batch = name in {"Dropout", "BatchNorm"}
    passed = page["check_layer"](lambda: build(page), x, empty_batch=empty_batch)
    assert passed == f"{name} passes"


def test_constants_keep_their_values(page):
    class Root(page["nn"].HybridBlock):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.negative = self.params.get_constant("negative", page["np"].array([-4.0]))

        def hybrid_forward(self, F, x, negative):
            return x * F.np.sqrt(-negative)

    assert page["check_layer"](Root, page["np"].random.normal(size=(3, 4))) == "Root passes"


def test_accumulated_gradients_do_not_matter(page):
    np, layer = page["np"], page["nn"].Dense(2)
    x = np.random.normal(size=(3, 4), dtype="float64")
    layer.initialize()
    layer(x.astype("float32"))
    layer.cast("float64")
    layer.collect_params().setattr("grad_req", "add")
    page["check_gradients_of"](layer, x)
    page["check_gradients_of"](layer, x)


def test_entries_of_different_size_are_compared(page):
    np, square = page["np"], page["nn"].HybridLambda(lambda F, x: x**2)
    page["check_gradients_of"](square, np.array([1e4, 1, 1e-3], dtype="float64"))
