"""The checks of the exercises accept right answers, reject wrong ones, and give hints."""

import os
import warnings

import nbformat
import pytest
from nbclient import NotebookClient

from tools.build.notebook import code_cells, load_definitions, read_page, tags
from tools.build.student import OMITTED_TAGS
from tools.project import EXERCISES, STUDENT_EDITION

# tools/quality/mutants.py sets MUTANT to a notebook that it has mutated.
MUTANT = os.environ.get("MUTANT")
NOTEBOOK = nbformat.read(MUTANT, as_version=4) if MUTANT else read_page(EXERCISES)

VALUES = {"maps one example", "maps a batch", "maps a batch of one"}
PARAMETER_GRADIENT = "computes the gradient of its parameters"
GRADIENTS = {"computes the gradient of its input", PARAMETER_GRADIENT}
TRAINING = {PARAMETER_GRADIENT, "is trained by a step"}

RIGHT = {
    "check_affine": ["PlainAffineLayer", "HybridAffineLayer", "SumAffine", "FrozenAffine"],
    "check_reduction": ["EinsumReduction", "TensordotReduction", "LoopReduction"],
    "check_fourier": ["ProductHalfFourier", "FFTHalfFourier", "FreshMatrices"],
}
UNWRITTEN = {
    "check_affine": "AffineLayer",
    "check_reduction": "TensorReduction",
    "check_fourier": "HalfFourier",
}
# Wrong answers, by name, with exactly the properties that they violate. Some are shown on
# the page; the others are defined in `define_answers` below.
WRONG = {
    "FeatureMean": ("check_affine", {"maps a batch", "maps a batch of one"}),
    "NoParameter": ("check_affine", {"has the right parameters"}),
    "ShiftOutside": ("check_affine", TRAINING),
    "Stopped": ("check_affine", TRAINING),
    "DetachedMean": ("check_affine", {"computes the gradient of its input"}),
    "RememberedMean": ("check_affine", VALUES),
    "NotHybrid": ("check_affine", {"works hybridized"}),
    "Nameless": ("check_affine", {"can be created"}),
    "Unready": ("check_affine", {"can be created"}),
    "Several": ("check_affine", {"maps an array to an array"}),
    "Doubles": ("check_affine", {"maps an array to an array"}),
    "Silent": ("check_affine", {"maps an array to an array"}),
    "Moody": ("check_affine", {"works inside sequential"}),
    "InPlace": ("check_affine", GRADIENTS | {"is trained by a step"}),
    "MixedTypes": ("check_reduction", {"maps an array to an array"}),
    "ShuffledGradient": ("check_reduction", GRADIENTS),
    "MeanKept": ("check_affine", VALUES),
    "TwoInputs": ("check_reduction", {"maps an array to an array"}),
    "DiagonalOnly": ("check_reduction", VALUES),
    "WrongAxes": ("check_reduction", VALUES),
    "MixedBatch": ("check_reduction", {"maps a batch"}),
    "TransposedWeight": ("check_reduction", {"has the right parameters"}),
    "BatchOnly": ("check_reduction", {"maps one example"}),
    "Squeezed": ("check_reduction", {"maps a batch of one"}),
    "BlockedGradient": ("check_fourier", {"computes the gradient of its input"}),
    "WrongGradient": ("check_fourier", {"computes the gradient of its input"}),
    "Magnitudes": ("check_fourier", VALUES),
    "FullSpectrum": ("check_fourier", VALUES),
    "WrongSign": ("check_fourier", VALUES),
    "RememberedMatrices": ("check_fourier", VALUES),
    "RoundedUp": ("check_fourier", VALUES),
    "LearnedMatrices": ("check_fourier", {"has the right parameters"}),
}


def define_answers(page):
    """Return right and wrong answers that aren't on the page, by name."""
    np, nn, numpy, autograd = page["np"], page["nn"], page["numpy"], page["autograd"]

    class SumAffine(page["PlainAffineLayer"]):
        def forward(self, x):
            return self.shift.data(x.ctx) - (np.sum(x) / x.size - x)

    class LoopReduction(page["EinsumReduction"]):
        def forward(self, x):
            weight, y = self.weight.data(x.ctx), 0
            for i in range(weight.shape[0]):
                y = y + np.dot(x, weight[i]) * x[..., i : i + 1]
            return y

    class FreshMatrices(page["ProductHalfFourier"]):
        def forward(self, x):
            self.constants = {}
            return super().forward(x)

    class FrozenAffine(page["PlainAffineLayer"]):
        def __init__(self, in_units, **kwargs):
            super().__init__(in_units, **kwargs)
            self.one = self.params.get_constant("one", np.ones(1))

        def forward(self, x):
            return super().forward(x) * self.one.data(x.ctx)

    class Nameless(page["PlainAffineLayer"]):
        def __init__(self, in_units, **kwargs):
            super().__init__(in_units)

    class Unready(page["PlainAffineLayer"]):
        def __init__(self, in_units, **kwargs):
            super().__init__(in_units, **kwargs)
            self.shift.init = "xavier"  # which needs a matrix

    class Several(page["PlainAffineLayer"]):
        def forward(self, x):
            return super().forward(x), x

    class Doubles(page["PlainAffineLayer"]):
        def forward(self, x):
            return super().forward(x).astype("float64")

    class Silent(page["PlainAffineLayer"]):
        def forward(self, x):
            raise ValueError

    class Moody(page["PlainAffineLayer"]):
        off = 1

        def forward(self, x):
            if len(x) == 3:  # a batch size that no check of values uses
                self.off, x = 0, x + self.off * np.arange(x.shape[-1])
            return super().forward(x)

    class InPlace(page["PlainAffineLayer"]):
        def forward(self, x):
            y = x - x.mean()
            y += self.shift.data(x.ctx)
            return y

    class MixedTypes(page["EinsumReduction"]):
        def forward(self, x):
            return super().forward(x * np.ones(x.shape, dtype="float64"))

    class Shuffle(autograd.Function):
        def forward(self, x):
            return x.copy()

        def backward(self, dy):
            return dy.as_np_ndarray()[::-1].copy().as_nd_ndarray()

    class ShuffledGradient(page["EinsumReduction"]):
        def forward(self, x):
            y = super().forward(x)
            return Shuffle()(y) if y.ndim == 2 else y

    class Stopped(page["PlainAffineLayer"]):
        def forward(self, x):
            shift = self.shift.data(x.ctx)
            return x - x.mean() + shift.detach() + 0 * shift

    class DetachedMean(page["PlainAffineLayer"]):
        def forward(self, x):
            return x - x.mean().item() + self.shift.data(x.ctx)

    class RememberedMean(page["PlainAffineLayer"]):
        mean = None

        def forward(self, x):
            if self.mean is None:
                self.mean = x.mean()
            return x - self.mean + self.shift.data(x.ctx)

    class NotHybrid(page["HybridAffineLayer"]):
        def hybrid_forward(self, F, x, shift):
            return x - np.mean(x) + shift

    class ShiftOutside(page["PlainAffineLayer"]):
        def forward(self, x):
            shift = np.array(self.shift.data(x.ctx).asnumpy())
            return x - x.mean() + shift

    class MeanKept(page["PlainAffineLayer"]):
        def forward(self, x):
            return x + self.shift.data(x.ctx)

    class WrongAxes(page["EinsumReduction"]):
        def forward(self, x):
            weight = self.weight.data(x.ctx)
            return np.einsum("ijk,...i,...i->...k", weight, x, x)

    class MixedBatch(page["EinsumReduction"]):
        def forward(self, x):
            return super().forward(x if x.ndim == 1 else x - x + x[:1])

    class TransposedWeight(nn.Block):
        def __init__(self, units, in_units, **kwargs):
            super().__init__(**kwargs)
            shape = (units, in_units, in_units)
            self.weight = self.params.get("weight", shape=shape)

        def forward(self, x):
            weight = self.weight.data(x.ctx)
            return np.einsum("kij,...i,...j->...k", weight, x, x)

    class BatchOnly(page["EinsumReduction"]):
        def forward(self, x):
            return np.einsum("ijk,bi,bj->bk", self.weight.data(x.ctx), x, x)

    class Squeezed(page["EinsumReduction"]):
        def forward(self, x):
            return np.squeeze(super().forward(x))

    class WrongHalfFFT(page["HalfFFT"]):
        def backward(self, dy):
            return super().backward(dy) / self.n

    class WrongGradient(nn.Block):
        def forward(self, x):
            return WrongHalfFFT()(x)

    class FullSpectrum(nn.Block):
        def forward(self, x):
            n = x.shape[-1]
            grid = numpy.outer(numpy.arange(n), numpy.arange(n))
            angle = np.array(2 * numpy.pi * grid / n, dtype="float32")
            parts = [np.dot(x, np.cos(angle)), -np.dot(x, np.sin(angle))]
            return np.stack(parts, axis=-1)

    class RoundedUp(FullSpectrum):
        def forward(self, x):
            return super().forward(x)[..., : (x.shape[-1] + 1) // 2, :]

    class RememberedMatrices(page["ProductHalfFourier"]):
        def matrices(self, n, ctx):
            self.first = getattr(self, "first", n)
            return super().matrices(self.first, ctx)

    class WrongSign(page["ProductHalfFourier"]):
        def forward(self, x):
            return super().forward(x) * np.array([1, -1])

    class LearnedMatrices(page["ProductHalfFourier"]):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.cosines = self.params.get("cosines", shape=(6, 3))

    return {cls.__name__: cls for cls in locals().values() if isinstance(cls, type)}


@pytest.fixture(scope="module")
def page():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MXNet uses deprecated names of NumPy
        names = load_definitions(NOTEBOOK)
    return define_answers(names) | names


def run_check(page, check, name, capsys):
    """Return the lines that a check prints for a layer."""
    page[check](page[name])
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("check, name", UNWRITTEN.items())
def test_unwritten_layer_is_recognized(page, check, name, capsys):
    assert run_check(page, check, name, capsys) == [f"{name} is not written yet."]


@pytest.mark.parametrize("check, name", [(c, n) for c, ns in RIGHT.items() for n in ns])
def test_solution_passes_every_line(page, check, name, capsys):
    lines = run_check(page, check, name, capsys)
    hybrid = issubclass(page[name], page["nn"].HybridBlock)
    assert len(lines) == (8 if check == "check_fourier" else 10) + hybrid
    assert all(line.startswith("passed  ") for line in lines)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_answer_fails_exactly_where_it_is_wrong(page, name, capsys):
    check, violated = WRONG[name]
    lines = run_check(page, check, name, capsys)
    failed = [line for line in lines if line.startswith("FAILED  ")]
    assert {line[8:].partition(":")[0] for line in failed} == violated
    assert all(" Hint: " in line for line in failed)
    assert all("expected" in line or "Error: " in line for line in failed)


HINTS = {
    "InPlace": "Hint: no y[...] = or += in forward; make new arrays.",
    "MixedTypes": 'Hint: give arrays that you make dtype="float32".',
    "Several": "expected an array, got a tuple. Hint: forward takes one array, returns one.",
    "Stopped": "expected shift to change, it did not. Hint: is shift used in forward?",
    "Silent": "ValueError: no message. Hint: forward takes one array, returns one.",
    "NotHybrid": "Hint: use F and the arguments only.",
}


@pytest.mark.parametrize("name", HINTS)
def test_mistake_gets_its_hint(page, name, capsys):
    check, _ = WRONG[name]
    lines = run_check(page, check, name, capsys)
    assert any(line.startswith("FAILED  ") and line.endswith(HINTS[name]) for line in lines)


@pytest.mark.parametrize("check, name", [(c, n) for c, ns in RIGHT.items() for n in ns])
def test_solution_stays_on_its_device(page, check, name):
    sizes = {"check_affine": [4], "check_reduction": [2, 4], "check_fourier": []}[check]
    here, there = page["mx"].cpu(0), page["mx"].cpu(1)
    layer = page[name](*sizes)
    layer.initialize(ctx=[here, there])
    assert [layer(page["np"].ones(4, ctx=ctx)).ctx for ctx in (there, here)] == [there, here]


def test_constants_are_created_on_the_device_of_the_data(page):
    # MXNet doesn't raise an error when arrays of two CPU contexts meet.
    ctx = page["mx"].cpu(1)
    assert page["ProductHalfFourier"]().matrices(4, ctx).ctx == ctx


def test_numbers_for_checking_by_hand_are_right(page):
    np = page["np"]
    layer = page["PlainAffineLayer"](2)
    layer.initialize()
    layer.shift.set_data(np.array([10, 20]))
    assert layer(np.array([[1, 2], [5, 8]])).tolist() == [[7, 18], [11, 24]]
    layer = page["EinsumReduction"](1, 2)
    layer.initialize()
    layer.weight.set_data(np.array([[[1], [2]], [[3], [4]]]))
    assert layer(np.array([1, 10])).tolist() == [451]
    y = page["ProductHalfFourier"]()(np.array([1, 2, 3, 4]))
    assert y.asnumpy().round(5).tolist() == [[10, 0], [-2, 2]]


def test_student_edition_contains_no_solution():
    student = nbformat.read(STUDENT_EDITION, as_version=4)
    kept = [cell for cell in NOTEBOOK.cells if not OMITTED_TAGS & tags(cell)]
    assert [c.source for c in student.cells] == [c.source for c in kept]
    text = "\n".join(cell.source for cell in student.cells)
    names = [name for names in RIGHT.values() for name in names] + list(WRONG)
    assert not [name for name in names if name in text]
    assert "{solution" not in text
    assert not any(cell.outputs for cell in code_cells(student))


def test_student_edition_runs_unsolved_without_matplotlib():
    student = nbformat.read(STUDENT_EDITION, as_version=4)
    assert "matplotlib" not in "".join(cell.source for cell in code_cells(student))
    NotebookClient(student, kernel_name="python3").execute()
    said = [out.text for cell in code_cells(student) for out in cell.outputs]
    assert said == [f"{name} is not written yet.\n" for name in UNWRITTEN.values()]
