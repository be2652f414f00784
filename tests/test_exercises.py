"""The checks of the exercises accept right answers, reject wrong ones, and give hints."""

from textwrap import indent
from typing import NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import MUTANT
from tools.build.notebook import code_cells, load_definitions, read_page, tags
from tools.build.student import OMITTED_TAGS
from tools.project import EXERCISES, STUDENT_EDITION

NOTEBOOK = MUTANT or read_page(EXERCISES)

CHECKS = {
    "check_affine": ("AffineLayer", ["PlainAffineLayer", "HybridAffineLayer"]),
    "check_reduction": ("TensorReduction", ["EinsumReduction", "TensordotReduction"]),
    "check_fourier": ("HalfFourier", ["ProductHalfFourier", "FFTHalfFourier"]),
}
FORWARD = "def forward(self, x):\n    "
SHIFT = "self.shift.data(x.ctx)"
WEIGHT = "self.weight.data(x.ctx)"
INIT = "def __init__(self, in_units, **kwargs):\n    super().__init__"

RIGHT = {  # answers that aren't on the page: base class and body
    "SumAffine": ("PlainAffineLayer", f"{FORWARD}return {SHIFT} - (np.sum(x) / x.size - x)"),
    "AffineWithConstant": (
        "PlainAffineLayer",
        f"{INIT}(in_units, **kwargs)\n"
        "    self.one = self.params.get_constant('one', np.ones(1))\n"
        f"{FORWARD}return super().forward(x) * self.one.data(x.ctx)",
    ),
    "LoopReduction": (
        "EinsumReduction",
        f"{FORWARD}return sum(np.dot(x, w) * x[..., i : i + 1] for i, w in enumerate({WEIGHT}))",
    ),
    "MatmulReduction": (
        "EinsumReduction",
        f"{FORWARD}w = {WEIGHT}\n"
        "    xx = np.expand_dims(x, -1) * np.expand_dims(x, -2)\n"
        "    return np.dot(xx.reshape(*x.shape[:-1], -1), w.reshape(-1, w.shape[-1]))",
    ),
    "RealThenImaginary": (
        "ProductHalfFourier",
        "def hybrid_forward(self, F, x, cosines, sines):\n"
        "    both = F.np.dot(x, cosines), F.np.dot(x, sines)\n"
        "    return F.np.concatenate([F.np.expand_dims(part, -1) for part in both], axis=-1)",
    ),
}

VALUES = {"maps a batch", "maps a batch of one", "maps one example"}
INPUT, PARAMETERS = "computes the gradient of its input", "computes the gradient of its parameters"
STEP, NETWORK = "learns in a training step", "works in a network"


class Wrong(NamedTuple):
    """A wrong answer: a class, the properties it lacks, and part of what is printed."""

    base: str
    body: str
    lacks: set
    printed: str


def affine(expression, lacks, printed):
    return Wrong("PlainAffineLayer", f"{FORWARD}return {expression}", lacks, printed)


def reduction(expression, lacks, printed):
    return Wrong("EinsumReduction", f"{FORWARD}return {expression}", lacks, printed)


def fourier(expression, lacks, printed):
    return Wrong("FFTHalfFourier", f"{FORWARD}return {expression}", lacks, printed)


CREATED = {"can be created"}
RIGHT_PARAMETERS = {"has the right parameters"}
AN_ARRAY = {"maps an array to an array"}
WRONG = {
    "FeatureMean": Wrong(
        "", "", {"maps a batch", "maps a batch of one"}, "formula: Y = X - mean(X) + shift"
    ),
    "NoParameter": Wrong("", "", RIGHT_PARAMETERS, 'with self.params.get("shift", shape=...)'),
    "DiagonalOnly": Wrong("", "", VALUES, "with an input of shape (5, 4),"),
    "BlockedGradient": Wrong("", "", {INPUT}, "Hint: asnumpy(), item(), detach()"),
    # Constructors
    "ForgetsKeywords": Wrong(
        "PlainAffineLayer", f"{INIT}(in_units)", CREATED, "pass the keyword arguments on"
    ),
    "NoKeywords": Wrong(
        "PlainAffineLayer",
        "def __init__(self, in_units):\n    super().__init__(in_units)",
        CREATED,
        "Hint: __init__ takes in_units and **kwargs.",
    ),
    "NoSuper": Wrong(
        "nn.Block",
        "def __init__(self, in_units, **kwargs):\n"
        "    self.shift = self.params.get('shift', shape=(in_units,))\n",
        CREATED,
        "Hint: start with super().__init__(**kwargs), without self.",
    ),
    "NeedsMatrix": Wrong(
        "PlainAffineLayer",
        f"{INIT}(in_units, **kwargs)\n    self.shift.init = 'xavier'",
        CREATED,
        "an init that accepts this shape",
    ),
    "OtherName": Wrong(
        "nn.Block",
        f"{INIT}(**kwargs)\n    self.s = self.params.get('s', shape=(in_units,))\n",
        RIGHT_PARAMETERS,
        "expected {'shift': (4,)} to be learned, got {'s': (4,)}",
    ),
    "TransposedWeight": Wrong(
        "nn.Block",
        f"{INIT.replace('in_units', 'units, in_units')}(**kwargs)\n"
        "    self.weight = self.params.get('weight', shape=(units, in_units, in_units))\n",
        RIGHT_PARAMETERS,
        "expected {'weight': (4, 4, 2)} to be learned, got {'weight': (2, 4, 4)}",
    ),
    "LearnedMatrices": Wrong(
        "FFTHalfFourier",
        f"{INIT}(**kwargs)\n    self.cosines = self.params.get('cosines', shape=(in_units, 3))",
        RIGHT_PARAMETERS,
        "Hint: register values that aren't learned with get_constant.",
    ),
    "HardCodedSize": Wrong(
        "nn.Block",
        f"{INIT}(**kwargs)\n    self.shift = self.params.get('shift', shape=(4,))\n",
        RIGHT_PARAMETERS,
        "expected {'shift': (5,)} to be learned",
    ),
    "NotLearned": Wrong(
        "PlainAffineLayer",
        f"{INIT}(in_units, **kwargs)\n    self.shift.grad_req = 'null'",
        RIGHT_PARAMETERS,
        "to be learned, got none",
    ),
    "TorchParameter": Wrong(
        "nn.Block",
        f"{INIT}(**kwargs)\n    self.shift = nn.Parameter(np.zeros(in_units))",
        CREATED,
        'Hint: in Gluon, self.params.get("shift", shape=...) creates a parameter.',
    ),
    "DataInConstructor": Wrong(
        "nn.Block",
        f"{INIT}(**kwargs)\n    self.shift = self.params.get('shift', shape=(in_units,)).data()\n",
        CREATED,
        "Hint: parameters have no values in __init__ yet",
    ),
    # What comes out of forward
    "MisspelledName": affine("x + self.shfit.data()", AN_ARRAY, "Hint: look up the name"),
    "DataNotCalled": affine("x - x.mean() + self.shift.data", AN_ARRAY, "data is a method"),
    "ForgotDataInEinsum": reduction(
        "np.einsum('ijk,...i,...j->...k', self.weight, x, x)", AN_ARRAY, "use the array of values"
    ),
    "NumPyMatrix": fourier(
        "np.dot(x, numpy.ones((x.shape[-1], 3)))", AN_ARRAY, "Hint: convert NumPy arrays"
    ),
    "ForgotData": affine("x - x.mean() + self.shift", AN_ARRAY, "Hint: use the array of values"),
    "ReturnsTuple": affine("super().forward(x), x", AN_ARRAY, "Hint: forward returns a single"),
    "ReturnsNothing": affine("None", AN_ARRAY, "Hint: forward has to return its result."),
    "ReturnsNumPy": affine("x.asnumpy()", AN_ARRAY, "Hint: compute with the functions of mxnet.np"),
    "Doubles": affine("super().forward(x).astype('float64')", AN_ARRAY, 'dtype="float32"'),
    "SilentError": Wrong(
        "PlainAffineLayer", f"{FORWARD}raise ValueError", AN_ARRAY, "ValueError: no message"
    ),
    "TwoInputs": Wrong(
        "EinsumReduction",
        "def forward(self, x1, x2):\n    return x1 * x2",
        AN_ARRAY,
        "missing 1 required positional argument: 'x2'",
    ),
    "MixedTypes": reduction(
        "super().forward(x * np.ones(x.shape, dtype='float64'))",
        AN_ARRAY,
        'Hint: create arrays with dtype="float32", like the data.',
    ),
    # Values
    "MeanKept": affine(f"x + {SHIFT}", VALUES, "formula: Y = X - mean(X) + shift"),
    "NumberOfRows": affine(
        f"x - x.sum() / len(x) + {SHIFT}",
        VALUES - {"maps one example"},
        "with an input of shape (5, 4),",
    ),
    "RemembersMean": Wrong(
        "PlainAffineLayer",
        f"mean = None\n{FORWARD}self.mean = x.mean() if self.mean is None else self.mean\n"
        f"    return x - self.mean + {SHIFT}",
        VALUES,
        "formula",
    ),
    "WrongLetter": reduction(
        f"np.einsum('ijk,...i,...i->...k', {WEIGHT}, x, x)", VALUES, "a sum over i and over j"
    ),
    "FirstExampleOnly": reduction(
        "super().forward(x if x.ndim == 1 else x - x + x[:1])", {"maps a batch"}, "formula"
    ),
    "BatchOnly": reduction(
        f"np.einsum('ijk,bi,bj->bk', {WEIGHT}, x, x)",
        {"maps one example"},
        "a single example has no batch axis",
    ),
    "OneExampleOnly": reduction(
        f"np.einsum('ijk,i,j->k', {WEIGHT}, x, x)", AN_ARRAY, "with an input of shape (5, 4),"
    ),
    "SqueezesBatch": reduction("np.squeeze(super().forward(x))", {"maps a batch of one"}, "keep"),
    "WrongSign": fourier(
        "super().forward(x) * np.array([1, -1])",
        VALUES,
        "minus a sum of sines",
    ),
    "Swapped": fourier("super().forward(x)[..., ::-1]", VALUES, "minus a sum of sines"),
    "PowerOnly": fourier("(super().forward(x) ** 2).sum(axis=-1)", VALUES, "of shape (5, 3, 2)"),
    "RoundedUp": fourier(
        "super().forward(np.concatenate([x, x[..., -1:]], -1)) if x.shape[-1] % 2 else "
        "super().forward(x)",
        VALUES,
        "with an input of shape (5, 7),",
    ),
    # Changes in place
    "InPlace": Wrong(
        "PlainAffineLayer",
        f"{FORWARD}y = x - x.mean()\n    y += {SHIFT}\n    return y",
        {INPUT, PARAMETERS, STEP},
        "Hint: forward has to create new arrays; avoid +=",
    ),
    "OverwritesInput": Wrong(
        "PlainAffineLayer",
        f"{FORWARD}y = super().forward(x)\n    x[:] = y.detach()\n    return y",
        {"leaves its input unchanged", INPUT, PARAMETERS},
        "Hint: work on a new array",
    ),
    # Gradients
    "DetachedMean": affine(
        f"x - x.mean().item() + {SHIFT}", {INPUT}, "Hint: asnumpy(), item(), detach()"
    ),
    "DetachedShift": affine(
        f"x - x.mean() + {SHIFT}.detach() + 0 * {SHIFT}",
        {PARAMETERS, STEP},
        "Hint: does forward use self.shift.data(x.ctx)?",
    ),
    "ShiftOutside": affine(
        f"x - x.mean() + np.array({SHIFT}.asnumpy(), dtype='float32')",
        {PARAMETERS, STEP},
        "Hint: does forward use self.shift.data(x.ctx)?",
    ),
    "WrongGradient": fourier(
        "super().forward(x / 2) + super().forward(x / 2).detach()",
        {INPUT},
        "Hint: asnumpy(), item(), detach()",
    ),
    # Networks
    "WithoutAttribute": Wrong(
        "nn.Block",
        f"{INIT}(**kwargs)\n    self.params.get('shift', shape=(in_units,))\n"
        f"{FORWARD}return x - x.mean() + self.params.get('shift').data(x.ctx)",
        {"can be saved and loaded"},
        "Hint: assign each parameter to an attribute",
    ),
    "CountsBatches": Wrong(
        "PlainAffineLayer",
        f"off = 0\n{FORWARD}self.off += len(x) == 3  # a size that no check of values uses\n"
        "    return super().forward(x) + (self.off > 1) * (len(x) == 3) * x.sum()",
        {NETWORK},
        "expected the output",
    ),
    "DefinesForward": Wrong(
        "HybridAffineLayer",
        f"{FORWARD}return x - x.mean() + {SHIFT}",
        {"works hybridized"},
        "Hint: define hybrid_forward instead",
    ),
    "NotSymbolic": Wrong(
        "HybridAffineLayer",
        "def hybrid_forward(self, F, x, shift):\n    return x - np.mean(x) + shift",
        {"works hybridized"},
        "Hint: use nothing but F and the arguments",
    ),
}


@pytest.fixture(scope="module")
def page():
    """Return the names that the page defines, and the answers above."""
    names = load_definitions(NOTEBOOK)
    for name, (base, body, *_) in (RIGHT | WRONG).items():
        if base:  # the others are on the page
            exec(f"class {name}({base}):\n{indent(body, '    ')}", names)
    return names


def find_check(page, name):
    """Return the name of the check for an answer."""
    for check, (_, solutions) in CHECKS.items():
        if issubclass(page[name], tuple(page[solution] for solution in solutions)):
            return check
    return "check_reduction" if name == "TransposedWeight" else "check_affine"


def run_check(page, check, name, capsys):
    """Return the lines that a check prints for a layer."""
    page[check](page[name])
    return capsys.readouterr().out.splitlines()


SOLUTIONS = [name for _, names in CHECKS.values() for name in names]


@pytest.mark.parametrize("check", CHECKS)
def test_unwritten_layer_is_recognized(page, check, capsys):
    name, _ = CHECKS[check]
    assert run_check(page, check, name, capsys) == [f"{name} isn't written yet."]


@pytest.mark.parametrize(
    "constructor, last_line",
    [
        ("self.shift = self.params.get('shift', shape=(in_units,))", "forward isn't written yet."),
        ("pass", "        Everything else depends on this property."),
    ],
)
def test_constructor_is_checked_before_forward_is_written(page, constructor, last_line, capsys):
    body = f"{INIT}(**kwargs)\n    {constructor}\n{FORWARD}raise NotImplementedError"
    exec(f"class HalfWritten(nn.Block):\n{indent(body, '    ')}", page)
    lines = run_check(page, "check_affine", "HalfWritten", capsys)
    assert lines[0] == "passed  can be created"
    assert lines[-1] == last_line


def test_layer_in_place_of_its_class_is_rejected(page):
    with pytest.raises(TypeError, match="pass the class PlainAffineLayer and not a layer"):
        page["check_affine"](page["PlainAffineLayer"](4))


@pytest.mark.parametrize("name", SOLUTIONS + list(RIGHT))
def test_right_answer_passes_every_line(page, name, capsys):
    check = find_check(page, name)
    lines = run_check(page, check, name, capsys)
    hybrid = issubclass(page[name], page["nn"].HybridBlock)
    assert len(lines) == (10 if check == "check_fourier" else 12) + hybrid
    assert all(line.startswith("passed  ") for line in lines)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_answer_fails_where_it_is_wrong_and_gets_one_hint(page, name, capsys):
    lines = run_check(page, find_check(page, name), name, capsys)
    failed = {line[8:].partition(":")[0] for line in lines if line.startswith("FAILED  ")}
    assert failed == WRONG[name].lacks
    assert WRONG[name].printed in "\n".join(lines)
    first = next(i for i, line in enumerate(lines) if line.startswith("FAILED"))
    assert [i for i, line in enumerate(lines) if "Hint: " in line] == [first + 1]


@pytest.mark.parametrize("name", SOLUTIONS + list(RIGHT))
def test_right_answer_stays_on_its_device(page, name):
    arguments = {"units": 2} if find_check(page, name) == "check_reduction" else {}
    here, there = page["mx"].cpu(0), page["mx"].cpu(1)
    layer = page[name](in_units=4, **arguments)
    layer.initialize(ctx=[here, there])
    assert [layer(page["np"].ones(4, ctx=ctx)).ctx for ctx in (there, here)] == [there, here]


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
    y = page["FFTHalfFourier"]()(np.array([1, 2, 3, 4]))
    assert y.asnumpy().round(5).tolist() == [[10, 0], [-2, 2]]


def test_student_edition_contains_no_solution():
    student = nbformat.read(STUDENT_EDITION, as_version=4)
    kept = [cell for cell in NOTEBOOK.cells if not OMITTED_TAGS & tags(cell)]
    assert [c.source for c in student.cells] == [c.source for c in kept]
    text = "\n".join(cell.source for cell in student.cells)
    assert not [name for name in SOLUTIONS + list(WRONG) if name in text]
    assert "{solution" not in text
    assert not any(cell.outputs for cell in code_cells(student))


def test_student_edition_runs_unsolved_without_matplotlib():
    student = nbformat.read(STUDENT_EDITION, as_version=4)
    assert "matplotlib" not in "".join(cell.source for cell in code_cells(student))
    NotebookClient(student, kernel_name="python3").execute()
    printed = [out.text for cell in code_cells(student) for out in cell.outputs]
    assert printed == [f"{name} isn't written yet.\n" for name, _ in CHECKS.values()]
