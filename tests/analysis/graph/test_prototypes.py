"""Several places for each sample train, one is a statistic: by place and shape."""

import numpy as np
import pytest

from tests.analysis.graph.named import divided, floats, model


@pytest.mark.parametrize("declared", ["float[] y", "float[N] y", "float[N,4] y"])
def test_a_declared_shape_that_is_too_small_is_no_obstacle(declared: str) -> None:
    """Of an output that the file declares; onnxruntime takes it with a warning."""
    checked = model("y = Sub(x, <m.c>)", {"m.c": floats(4)}, inputs="float[N,4] x", outputs=declared)
    assert divided(checked).frozen == {"m.c": "preprocessing of the input"}


@pytest.mark.parametrize(
    ("axes", "centres", "train"),
    [("1", (3, 4), True), ("1", (1, 4), False), ("1", (5, 1, 4), True), ("2", (4, 3), True), ("2", (4, 1), False)],
)
def test_several_of_each_sample_are_prototypes(axes: str, centres: tuple[int, ...], *, train: bool) -> None:
    """Of a radial basis function network, whose first layer reads the input."""
    nodes = (
        f"a = Constant<value_ints = [{axes}]>() u = Unsqueeze(x, a) h = Sub(u, <c>) k = Mul(h, h) y = MatMul(k, <w>)"
    )
    weights = {"w": floats(centres[-1], 2), "c": floats(*centres)}
    roles = divided(model(nodes, weights, outputs="float[N,A,B] y", producer="pytorch"))
    assert ("c" in roles.trainable) is train


@pytest.mark.parametrize(
    ("behind", "measured"),
    [
        ("q = Pow(d, <two>) y = ReduceSum(q, <last>)", True),
        ("q = Mul(d, d) y = ReduceMean(q, <last>)", True),
        ("q = Abs(d) n = Neg(q) y = ReduceSum(n, <last>)", True),
        ("s = Div(d, <two>) q = Abs(s) y = ReduceSum(q, <last>)", True),
        ("y = ReduceL2(d, <last>)", True),
        ("y = ReduceSum(d, <last>)", False),  # signs kept: an offset of the mean
        ("q = Mul(d, <two>) y = ReduceSum(q, <last>)", False),
        ("q = Pow(d, <two>) y = Relu(q)", False),
        ("q = Pow(d, <two>) s = ReduceSum(q, <last>) r = ReduceMax(q, <last>) y = Add(s, r)", False),
        ("a = Abs(d) b = Abs(a) c = Abs(b) e = Abs(c) y = ReduceSum(e, <last>)", False),
    ],
)
@pytest.mark.parametrize("order", ["u, <onnx::Sub_3>", "<onnx::Sub_3>, u"])
def test_places_that_distances_are_measured_to_train_whatever_an_exporter_calls_them(
    order: str, behind: str, measured: bool
) -> None:
    """torch folds the new axis into a prototype, and names it after the operator that reads it."""
    weights = {"m.w": floats(4, 4), "onnx::Sub_3": floats(1, 5, 4), "two": np.float32(2), "last": np.array([2])}
    nodes = f"h = MatMul(x, <m.w>) u = Unsqueeze(h, <axis>) d = Sub({order}) {behind}"
    roles = divided(model(nodes, {**weights, "axis": np.array([1])}))
    assert ("onnx::Sub_3" in roles.trainable) is measured
    assert measured or roles.frozen["onnx::Sub_3"] == "constant operand of Sub"


@pytest.mark.parametrize(
    ("nodes", "inputs", "shape", "several"),
    [
        ("u = MatMul(x, <m.w>)", "float[2,1,4] x", (5, 4), True),  # sizes that are known
        ("h = MatMul(x, <m.w>) u = Reshape(h, <axes>)", "float[2,4] x", (5, 4), True),
        ("h = MatMul(x, <m.w>) u = Unsqueeze(h, <axis>)", "float[N,4] x", (1, 1, 4), False),  # one is a statistic
        ("h = MatMul(x, <m.w>) u = Reshape(h, <flat>)", "float[2,4] x", (2, 4), False),
        ("u = MatMul(x, <m.w>)", "float[2,1,4] x", (1, 4), False),
        ("u = MatMul(x, <m.w>)", "float[2,5,4] x", (5, 4), False),  # a map of its own for each place
        ("u = MatMul(x, <m.w>)", "float[N,5,4] x", (5, 4), False),
    ],
)
def test_a_place_by_itself_is_a_statistic(nodes: str, inputs: str, shape: tuple[int, ...], several: bool) -> None:
    tensors = {"m.w": floats(4, 4), "onnx::Sub_3": floats(*shape)}
    tensors |= {"axes": np.array([2, 1, 4]), "flat": np.array([-1, 2, 4]), "axis": np.array([1]), "last": np.array([2])}
    checked = model(f"{nodes} d = Sub(u, <onnx::Sub_3>) q = Mul(d, d) y = ReduceSum(q, <last>)", tensors, inputs)
    assert ("onnx::Sub_3" in divided(checked).trainable) is several


def test_centres_in_front_of_the_input_are_no_preprocessing() -> None:
    tensors = {"m.centres": floats(5, 4), "m.w": floats(5, 4), "axis": np.array([1]), "last": np.array([2])}
    nodes = "u = Unsqueeze(x, <axis>) d = Sub(u, <m.centres>) n = ReduceL2(d, <last>) k = Exp(n) y = MatMul(k, <m.w>)"
    assert divided(model(nodes, {**tensors, "last": np.array([2])})).trainable == ("m.centres", "m.w")
