"""`check_layer`, which readers copy from the page on networks: it rejects wrong layers."""

import os
import warnings

import nbformat
import pytest

from tools.build.notebook import load_definitions, read_page
from tools.project import BOOK

MESSAGES = {
    "Remembers": "remembers its last input",
    "MixesExamples": "depends on the rest of the batch",
    "DropsEmptyBatch": "wrong shape for an empty batch",
    "StaysFloat32": "cast changes nothing",
    "WrongInputGradient": "wrong gradient of input",
    "ConstantScale": "wrong gradient of .*scale",
    "ChangesWhenHybridized": "different output once hybridized",
    "ForgetsWhenSaved": "different output after loading",
}


@pytest.fixture(scope="module")
def page():
    if mutant := os.environ.get("MUTANT"):  # set by tools/quality/mutants.py
        notebook = nbformat.read(mutant, as_version=4)
    else:
        notebook = read_page(BOOK / "a-network-of-your-own-layers.md")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MXNet uses deprecated names of NumPy
        return load_definitions(notebook)


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

    class MixesExamples(Base):
        def hybrid_forward(self, F, x, scale):
            return x * scale - F.np.sum(x)

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

    class ConstantScale(Base):
        def forward(self, x):
            return x * self.scale.data(x.ctx).detach() + 0 * self.scale.data(x.ctx)

    class ChangesWhenHybridized(Base):
        def hybrid_forward(self, F, x, scale):
            return x * scale if F is page["mx"].ndarray else x + scale

    class ForgetsWhenSaved(nn.Block):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.scale = np.random.uniform(1, 2, size=1)

        def forward(self, x):
            return x * self.scale.astype(x.dtype)

    return locals()


@pytest.fixture(scope="module")
def wrong_layers(page):
    return define_wrong_layers(page)


@pytest.mark.parametrize("name, message", MESSAGES.items())
def test_wrong_layer_is_rejected(page, wrong_layers, name, message):
    with pytest.raises(AssertionError, match=message):
        page["check_layer"](wrong_layers[name], page["np"].random.normal(size=(3, 4)))


def test_layer_of_the_page_is_accepted(page):
    x = page["np"].random.normal(size=(3, 4))
    assert page["check_layer"](page["RMSNorm"], x, empty_batch=False) == "RMSNorm passes"
