"""Which input holds what, told by the names that onnx and onnxruntime give to the inputs of their operators."""

import pytest
from onnx import NodeProto, defs, helper
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from analysis.graph.slots import DATA_SLOT, EVERY_INPUT, INDEX_SLOTS, ROLES, data_inputs, is_float_dtype, role_of
from analysis.model.quantized import FAKE_QUANTIZERS

NORMALIZED = {"scale": "scale", "Scale": "scale", "gamma": "scale", "B": "bias", "bias": "bias", "beta": "bias"}
PRODUCT = {"A": "weight", "B": "weight", "C": "bias"}
CONVOLUTION = {"X": "token", "W": "weight", "B": "bias"}
RECURRENT = {"W": "weight", "R": "recurrent_weight", "B": "bias", "initial_h": "initial_state"}
TOKENS = dict.fromkeys(("Q", "K", "V", "query", "key", "value"), "token")
OPERANDS = {"X": "token", "Y": "token"}
EXPERT = (("weights", "weight"), ("bias", "bias"))
HELD: dict[str, dict[str, str]] = {
    "Conv": CONVOLUTION,
    "ConvTranspose": {"W": "weight", "B": "bias"},
    "DeformConv": {"W": "weight", "B": "bias"},
    "CausalConvWithState": {"weight": "weight", "bias": "bias"},
    "FusedConv": CONVOLUTION,
    "NhwcConv": CONVOLUTION,
    "NhwcFusedConv": CONVOLUTION,
    "Gemm": PRODUCT,
    "FusedGemm": PRODUCT,
    "MatMul": PRODUCT,
    "FusedMatMul": PRODUCT,
    "TransposeMatMul": PRODUCT,
    "QLinearConv": {"w": "weight", "B": "bias"},
    "QLinearMatMul": {"a": "weight", "b": "weight"},
    "MatMulInteger": PRODUCT,
    "ConvInteger": {"w": "weight"},
    "QGemm": {"B": "weight", "C": "bias"},
    "QLinearAdd": {"A": "offset", "B": "offset"},
    "QLinearMul": {"A": "scale", "B": "scale"},
    "MatMulIntegerToFloat": {"B": "weight", "bias": "bias"},
    "DynamicQuantizeMatMul": {"B": "weight", "bias": "bias"},
    "MatMulNBits": {"bias": "bias"},
    "MoE": {f"fc{n}_experts_{kind}": role for n in (1, 2, 3) for kind, role in EXPERT},
    "QMoE": {f"fc{n}_experts_bias": "bias" for n in (1, 2, 3)},
    "Attention": TOKENS,
    "com.microsoft.Attention": {"weights": "weight", "bias": "bias"},
    "QAttention": {"weight": "weight", "bias": "bias"},
    "MultiHeadAttention": {**TOKENS, "bias": "bias"},
    "DecoderMaskedMultiHeadAttention": {**TOKENS, "bias": "bias"},
    "GroupQueryAttention": {**TOKENS, "head_sink": "bias"},
    "LinearAttention": TOKENS,
    "Gather": {"data": "embedding"},
    "GatherND": {"data": "embedding"},
    "BatchNormalization": NORMALIZED,
    "InstanceNormalization": NORMALIZED,
    "GroupNormalization": NORMALIZED,
    "GroupNorm": NORMALIZED,
    "SkipGroupNorm": {**NORMALIZED, "skip": "offset"},
    "LayerNormalization": NORMALIZED,
    "RMSNormalization": NORMALIZED,
    "SimplifiedLayerNormalization": NORMALIZED,
    "SkipLayerNormalization": {**NORMALIZED, "input": "offset", "skip": "offset"},
    "SkipSimplifiedLayerNormalization": {**NORMALIZED, "input": "offset", "skip": "offset"},
    "EmbedLayerNormalization": {
        **NORMALIZED, **{f"{kind}_embedding": "embedding" for kind in ("word", "position", "segment")}
    },
    "BiasGelu": {"B": "bias"},
    "FastGelu": {"bias": "bias"},
    "BiasSplitGelu": {"bias": "bias"},
    "BiasDropout": {"bias": "bias", "residual": "offset"},
    "PRelu": {"slope": "slope"},
    "RNN": RECURRENT,
    "GRU": RECURRENT,
    "LSTM": {**RECURRENT, "initial_c": "initial_cell", "P": "peephole"},
    "DynamicQuantizeLSTM": {**RECURRENT, "initial_c": "initial_cell", "P": "peephole"},
    "QEmbedLayerNormalization": {
        "word_embedding_quant": "embedding", "position_embedding_quant": "embedding", "segment_embedding": "embedding",
        "gamma_quant": "scale", "beta_quant": "bias",
    },
    "Add": {"A": "offset", "B": "offset"},
    "Sub": {"A": "offset", "B": "offset"},
    "Mul": {"A": "scale", "B": "scale"},
    "Div": {"A": "scale", "B": "scale"},
    "Pow": {"Y": "exponent"},
    "Where": OPERANDS,
    "ScatterND": {"data": "token", "updates": "token"},
    "ScatterElements": {"data": "token", "updates": "token"},
    "Scatter": {"data": "token", "updates": "token"},
    "GridSample": {"X": "token"},
}  # fmt: skip
"""By the names of the inputs: the documentation of each operator says what they are."""


def inputs_of(name: str) -> list[str]:
    """Names of an operator's inputs, in order."""
    domain, _, op = name.rpartition(".")
    if not domain and defs.has(op):
        return [each.name for each in defs.get_schema(op).inputs]
    domains = {domain} if domain else {"", "com.microsoft"}
    found = [each for each in runtime.get_all_operator_schema() if each.name == op and each.domain in domains]
    return [each.name for each in max(found, key=lambda each: each.since_version).inputs]


def node(name: str, count: int) -> NodeProto:
    domain, _, op = name.rpartition(".")
    return helper.make_node(op, [f"i{place}" for place in range(count)], ["y"], domain=domain)


@pytest.mark.parametrize("name", sorted(HELD))
def test_a_parameter_has_the_role_that_the_name_of_its_input_says(name: str) -> None:
    inputs = inputs_of(name)
    made = node(name, len(inputs))
    roles = {known: role_of(made, slot) for slot, known in enumerate(inputs)}
    assert roles == {known: HELD[name].get(known, "other") for known in inputs}
    assert role_of(made, len(inputs)) == "other"


def test_every_operator_that_holds_parameters_is_told_apart_here() -> None:
    assert ROLES.keys() - HELD.keys() == {"Max", "Min", "FlexAttention"}
    for op in ("Max", "Min"):
        assert [role_of(node(op, 3), slot) for slot in range(3)] == ["offset", "offset", "other"]
    assert [role_of(node("FlexAttention", 4), slot) for slot in range(4)] == ["token"] * 3 + ["other"]


def test_an_operator_of_another_domain_may_hold_something_else_under_the_same_name() -> None:
    assert [role_of(node("Attention", 3), slot) for slot in range(3)] == ["token"] * 3
    assert [role_of(node("com.microsoft.Attention", 3), slot) for slot in range(3)] == ["other", "weight", "bias"]
    assert role_of(node("com.microsoft.BiasGelu", 2), 1) == "bias"


@pytest.mark.parametrize(("op", "role"), [("Einsum", "weight"), ("Concat", "token"), ("Sum", "offset")])
def test_some_operators_take_a_parameter_anywhere(op: str, role: str) -> None:
    assert [role_of(node(op, 3), slot) for slot in range(3)] == [role] * 3
    assert EVERY_INPUT.keys() == {"Einsum", "Concat", "Sum"}


def test_the_states_of_a_loop_begin_behind_its_count_and_its_condition() -> None:
    assert inputs_of("Loop") == ["M", "cond", "v_initial"]
    assert [role_of(node("Loop", 5), slot) for slot in range(5)] == ["other"] * 2 + ["initial_state"] * 3


@pytest.mark.parametrize(
    ("node", "data"),
    [
        (helper.make_node("Add", ["a", "b"], ["y"]), ["a", "b"]),
        (helper.make_node("Reshape", ["a", "shape"], ["y"]), ["a"]),
        (helper.make_node("Slice", ["a", "s", "e"], ["y"]), ["a"]),
        (helper.make_node("Gather", ["a", "i"], ["y"]), ["a"]),
        (helper.make_node("Where", ["c", "a", "b"], ["y"]), ["c", "a", "b"]),
    ],
)
def test_shapes_and_indices_are_no_data(node: NodeProto, data: list[str]) -> None:
    assert data_inputs(node) == data


FIRST = {"data", "input", "X", "x", "A"}
"""Names of inputs whose numbers reach the output."""
BESIDE = {
    "shape", "starts", "ends", "axes", "steps", "indices", "repeats", "split", "pads", "constant_value", "target_type",
    "x_scale", "x_zero_point", "y_scale", "y_zero_point", "ratio", "training_mode", "k", "roi", "scales", "sizes",
    "axis", "K",
}  # fmt: skip
"""And of those that say where, how much or how coarsely."""


@pytest.mark.parametrize("op", sorted(FAKE_QUANTIZERS))
def test_of_quantisers_that_only_qonnx_has_the_first_input_is_data(op: str) -> None:
    assert data_inputs(node(op, 4)) == ["i0"]


@pytest.mark.parametrize("op", sorted(DATA_SLOT.keys() - FAKE_QUANTIZERS))
def test_of_operators_that_lay_out_or_summarise_only_the_first_input_is_data(op: str) -> None:
    inputs = inputs_of(op)
    assert inputs[0] in FIRST
    assert set(inputs[1:]) <= BESIDE
    assert data_inputs(node(op, len(inputs))) == ["i0"]


def types_of(schema: object, typed: str) -> set[str]:
    constraints = {each.type_param_str: set(each.allowed_type_strs) for each in schema.type_constraints}
    return constraints.get(typed, {typed})


@pytest.mark.parametrize("name", sorted(INDEX_SLOTS))
def test_masks_lengths_and_positions_are_the_inputs_that_take_integers_only(name: str) -> None:
    op = name.rpartition(".")[2]
    schema = next(
        each for each in runtime.get_all_operator_schema() if (each.domain, each.name) == ("com.microsoft", op)
    )
    integers = {
        f"i{place}"
        for place, each in enumerate(schema.inputs)
        if types_of(schema, each.typeStr) <= {"tensor(int32)", "tensor(int64)"}
    }
    made = helper.make_node(op, [f"i{place}" for place in range(len(schema.inputs))], ["y"], domain="com.microsoft")
    assert {*made.input} - {*data_inputs(made)} == integers


@pytest.mark.parametrize(
    ("name", "carries"),
    [("float32", True), ("float64", True), ("float16", True), ("bfloat16", True), ("int8", False), ("bool", False),
     ("float8_e4m3fn", False), ("str", False), ("complex64", False)],
)  # fmt: skip
def test_which_types_carry_a_gradient(name: str, carries: bool) -> None:
    assert is_float_dtype(name) is carries
