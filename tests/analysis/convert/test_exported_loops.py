"""Recurrent networks as converters write them: cells in the bodies of Loops and Scans, weights captured from outside.

The shapes of a tf2onnx export: a Keras while loop counts its own steps, gathers them from a time-major tensor, carries
its states, and collects what a TensorArray held as a scan output. Truth: onnxruntime, and central differences.
"""

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper

from tests.analysis.convert.conversion import assert_sound, floats, ids, proto

SAMPLES, STEPS, SIZE, UNITS = 2, 4, 2, 3
SEQUENCES, LINES = floats(SAMPLES, STEPS, SIZE), floats(STEPS, SAMPLES, SIZE)
STATE = floats(SAMPLES, UNITS)
YES = np.array(True)


def small(*shape: int) -> np.ndarray:
    return floats(*shape) / 2


def keras_lstm() -> tuple[ModelProto, list[np.ndarray], list[str]]:
    """One kernel for input and state, a forget bias of 1, the loop's own counter compared with the length."""
    nodes = """
        xt = Transpose<perm = [1, 0, 2]>(x) shape = Shape(xt) length = Gather(shape, zero)
        batch = Slice(shape, one, two) wanted = Concat<axis = 0>(batch, units)
        h0 = ConstantOfShape<value = float[1] {0.0}>(wanted)
        steps = Cast<to = 6>(length) go = Less(start, steps)
        t, hn, cn, hs = Loop(most, go, start, h0, h0) <body = cell
            (int64 trip, bool on, int32 t0, float[N,3] h, float[N,3] c)
            => (bool next, int32 t1, float[N,3] h1, float[N,3] c1, float[N,3] row) {
                xi = Gather(xt, t0) both = Concat<axis = -1>(xi, h) product = MatMul(both, kernel)
                gates = Add(product, bias) i0, j0, f0, o0 = Split<axis = 1>(gates) f1 = Add(f0, forget)
                i = Sigmoid(i0) j = Tanh(j0) f = Sigmoid(f1) o = Sigmoid(o0) kept = Mul(f, c) new = Mul(i, j)
                c1 = Add(kept, new) squashed = Tanh(c1) h1 = Mul(o, squashed) row = Identity(h1)
                t1 = Add(t0, step) next = Less(t1, steps) }>
        y = Transpose<perm = [1, 0, 2]>(hs)"""
    constants = {"zero": np.array(0), "one": ids(1), "two": ids(2), "units": ids(UNITS), "most": np.array(2**31 - 1),
                 "start": np.int32(0), "step": np.int32(1), "forget": np.float32(1)}  # fmt: skip
    weights = {"kernel": small(SIZE + UNITS, 4 * UNITS), "bias": small(4 * UNITS)}
    made = proto(nodes, "float[N,T,2] x", "float[N,T,3] y", 13, **constants, **weights)
    return made, [SEQUENCES], ["kernel", "bias"]


def masked() -> tuple[ModelProto, list[np.ndarray], list[str]]:
    """Backwards over samples of unequal length: ReverseSequence before and after, the state held behind the end."""
    nodes = """
        back = ReverseSequence<batch_axis = 0, time_axis = 1>(x, lengths) xt = Transpose<perm = [1, 0, 2]>(back)
        shape = Shape(xt) steps = Gather(shape, zero) batch = Slice(shape, one, two)
        wanted = Concat<axis = 0>(batch, units) h0 = ConstantOfShape(wanted) ends = Unsqueeze(lengths, one)
        hn, hs = Loop(steps, , h0) <body = cell
            (int64 trip, bool on, float[N,3] h) => (bool next, float[N,3] h1, float[N,3] row) {
                xi = Gather<axis = 0>(xt, trip) a = MatMul(xi, w) b = MatMul(h, u) c = Add(a, b) d = Add(c, bias)
                n = Tanh(d) inside = Less(trip, ends) h1 = Where(inside, n, h) row = Where(inside, n, nothing)
                next = Identity(on) }>
        rows = Transpose<perm = [1, 0, 2]>(hs) y = ReverseSequence<batch_axis = 0, time_axis = 1>(rows, lengths)"""
    constants = {"zero": np.array(0), "one": ids(1), "two": ids(2), "units": ids(UNITS), "nothing": np.float32(0)}
    weights = {"w": small(SIZE, UNITS), "u": small(UNITS, UNITS), "bias": small(UNITS)}
    made = proto(nodes, "float[N,T,2] x, int64[N] lengths", "float[N,T,3] y", 13, **constants, **weights)
    return made, [SEQUENCES, ids(3, 4)], list(weights)


def scanned_gru(opset: int, direction: int) -> tuple[ModelProto, list[np.ndarray], list[str]]:
    nodes = f"""
        hn, y = Scan<num_scan_inputs = 1, scan_input_directions = [{direction}], scan_output_directions = [{direction}],
            body = cell (float[N,3] h, float[N,2] xi) => (float[N,3] h1, float[N,3] row) {{
                a = MatMul(xi, w) b = MatMul(h, u) c = Add(a, b) d = Add(c, bias) e = Sigmoid(d)
                z, r = Split<axis = 1>(e) rh = Mul(r, h) f = MatMul(rh, uc) g = MatMul(xi, wc) i = Add(f, g)
                n = Tanh(i) rest = Sub(one, z) new = Mul(rest, n) old = Mul(z, h) h1 = Add(new, old)
                row = Identity(h1) }}>(h0, x)"""
    weights = {"w": small(SIZE, 2 * UNITS), "u": small(UNITS, 2 * UNITS), "bias": small(2 * UNITS),
               "uc": small(UNITS, UNITS), "wc": small(SIZE, UNITS)}  # fmt: skip
    made = proto(
        nodes, "float[T,N,2] x, float[N,3] h0", "float[N,3] hn, float[T,N,3] y", opset, one=np.float32(1), **weights
    )
    return made, [LINES, STATE], list(weights)


def carried() -> tuple[ModelProto, list[np.ndarray], list[str]]:
    """Kernels and inputs as loop variables that never change, as a while loop of TensorFlow hands them on."""
    nodes = """
        shape = Shape(x) steps = Gather(shape, zero)
        y, w1, u1, x1 = Loop(steps, yes, h0, w, u, x) <body = cell
            (int64 trip, bool on, float[N,3] h, float[2,3] wi, float[3,3] ui, float[T,N,2] xs)
            => (bool next, float[N,3] h1, float[2,3] wo, float[3,3] uo, float[T,N,2] xo) {
                xi = Gather(xs, trip) a = MatMul(xi, wi) b = MatMul(h, ui) c = Add(a, b) d = Add(c, bias) h1 = Tanh(d)
                next = Identity(on) wo = Identity(wi) uo = Identity(ui) xo = Identity(xs) }>"""
    weights = {"w": small(SIZE, UNITS), "u": small(UNITS, UNITS), "bias": small(UNITS)}
    made = proto(nodes, "float[T,N,2] x, float[N,3] h0", "float[N,3] y", 13, zero=np.array(0), yes=YES, **weights)
    return made, [LINES, STATE], list(weights)


def collected_in_a_sequence() -> tuple[ModelProto, list[np.ndarray], list[str]]:
    nodes = """
        steps = SequenceLength(rows) rows = SplitToSequence<axis = 0, keepdims = 0>(x) empty = SequenceEmpty()
        hn, found = Loop(steps, yes, h0, empty) <body = cell
            (int64 trip, bool on, float[N,3] h, seq(float) before) => (bool next, float[N,3] h1, seq(float) after) {
                xi = SequenceAt(rows, trip) a = MatMul(xi, w) b = MatMul(h, u) c = Add(a, b) h1 = Tanh(c)
                after = SequenceInsert(before, h1) next = Identity(on) }>
        y = ConcatFromSequence<axis = 0, new_axis = 1>(found)"""
    weights = {"w": small(SIZE, UNITS), "u": small(UNITS, UNITS)}
    made = proto(nodes, "float[T,N,2] x, float[N,3] h0", "float[T,N,3] y", 13, yes=YES, **weights)
    return made, [LINES, STATE], list(weights)


def decoder() -> tuple[ModelProto, list[np.ndarray], list[str]]:
    """Attention over what is captured, and the best word fed back."""
    nodes = """
        h0 = ReduceMean<axes = [1], keepdims = 0>(x)
        hn, tokens, y = Loop(trips, yes, h0, first) <body = cell
            (int64 trip, bool on, float[N,2] h, int64[N] token)
            => (bool next, float[N,2] h1, int64[N] best, float[N,5] row) {
                word = Gather(words, token) q = Unsqueeze(h, one) k = Transpose<perm = [0, 2, 1]>(x) s = MatMul(q, k)
                p = Softmax<axis = -1>(s) c0 = MatMul(p, x) c = Squeeze(c0, one) all = Concat<axis = -1>(word, c, h)
                a = MatMul(all, w) h1 = Tanh(a) row = MatMul(h1, v) best = ArgMax<axis = -1, keepdims = 0>(row)
                next = Identity(on) }>"""
    weights = {"words": small(5, SIZE), "w": small(3 * SIZE, SIZE), "v": small(SIZE, 5)}
    constants = {"trips": np.array(3), "yes": YES, "one": ids(1), "first": ids(1, 2)}
    made = proto(nodes, "float[N,T,2] x", "float[3,N,5] y", 13, **constants, **weights)
    return made, [SEQUENCES], list(weights)


def grown() -> tuple[ModelProto, list[np.ndarray], list[str]]:
    """A state one step longer after every trip, inside of which another loop runs."""
    nodes = """
        y = Loop(trips, yes, x) <body = outer
            (int64 trip, bool on, float[N,T,2] s) => (bool next, float[N,U,2] s1) {
                last = Slice(s, minus, most, one)
                turned = Loop(trips, on, last) <body = inner
                    (int64 trip2, bool on2, float[N,1,2] q) => (bool next2, float[N,1,2] q1) {
                        a = MatMul(q, w) b = Add(a, last) q1 = Tanh(b) next2 = Identity(on2) }>
                s1 = Concat<axis = 1>(s, turned) next = Identity(on) }>"""
    constants = {"trips": np.array(2), "yes": YES, "minus": ids(-1), "most": ids(2**62), "one": ids(1)}
    made = proto(nodes, "float[N,T,2] x", "float[N,V,2] y", 13, **constants, w=small(SIZE, SIZE))
    return made, [SEQUENCES], ["w"]


def bidirectional() -> tuple[ModelProto, list[np.ndarray], list[str]]:
    """TensorFlow's dynamic RNN: lengths tiled over the batch, one LSTM forwards, one over the reversed sequence."""
    nodes = """
        xt = Transpose<perm = [1, 0, 2]>(x) shape = Shape(xt) steps = Slice(shape, zero, one)
        batch = Slice(shape, one, two) lengths = Tile(steps, batch) short = Cast<to = 6>(lengths)
        yf, hf, cf = LSTM<hidden_size = 3>(xt, wf, rf, bf, short)
        xr = ReverseSequence<batch_axis = 1, time_axis = 0>(xt, lengths)
        yb, hb, cb = LSTM<hidden_size = 3>(xr, wb, rb, bb) ys = Squeeze(yb, one) left = Squeeze(yf, one)
        right = ReverseSequence<batch_axis = 1, time_axis = 0>(ys, lengths)
        both = Concat<axis = 2>(left, right) y = Transpose<perm = [1, 0, 2]>(both)"""
    weights = {}
    for side in "fb":
        weights |= {f"w{side}": small(1, 12, 2), f"r{side}": small(1, 12, 3), f"b{side}": small(1, 24)}
    made = proto(nodes, "float[N,T,2] x", "float[N,T,6] y", 13, zero=ids(0), one=ids(1), two=ids(2), **weights)
    return made, [SEQUENCES], list(weights)


def weight_in_the_body() -> tuple[ModelProto, list[np.ndarray], list[str]]:
    """A counter of floats ends the loop, and the body brings its own weight."""
    nodes = """
        y, count, ys = Loop( , yes, x, nothing) <body = cell
            (int64 trip, bool on, float[N,2] h, float k) => (bool next, float[N,2] h1, float k1, float[N,2] row) {
                a = MatMul(h, w) h1 = Tanh(a) k1 = Add(k, one) next = Less(k1, three) row = Identity(h1) }>"""
    constants = {"yes": YES, "nothing": np.float32(0), "one": np.float32(1), "three": np.float32(3)}
    made = proto(nodes, "float[N,2] x", "float[N,2] y, float[K,N,2] ys", 13, **constants)
    made.graph.node[0].attribute[0].g.initializer.append(numpy_helper.from_array(small(SIZE, SIZE), "w"))
    return made, [floats(SAMPLES, SIZE)], ["w"]


EXPORTED = {
    "Keras LSTM": keras_lstm(), "masked": masked(), "GRU scanned": scanned_gru(9, 0),
    "GRU scanned backwards": scanned_gru(11, 1), "carried weights": carried(), "sequence": collected_in_a_sequence(),
    "decoder": decoder(), "grown": grown(), "bidirectional": bidirectional(),
    "weight in the body": weight_in_the_body(),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPORTED)
def test_exported_loops_are_onnxruntimes_and_every_weight_has_its_gradient(name: str) -> None:
    made, inputs, weights = EXPORTED[name]
    module = assert_sound(made, *inputs)
    assert list(module.initializers) == weights
