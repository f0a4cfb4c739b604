"""Where attention is found, and how sharp it is, against numpy and torch's own attention."""

from itertools import pairwise

import numpy as np
import onnx.parser
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from analysis.facts import AttentionStats
from analysis.graph.attention import AttentionSite, find_attention, find_product
from analysis.graph.sources import find_sources
from analysis.measure.passes import measure
from analysis.model import CheckedModel, check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from tests.gallery import export, npz, seeded

STEPS, WIDTH, SAMPLES = 6, 8, 16
PROJECTIONS = "q = MatMul(x, Q) k0 = MatMul(x, K) k = Add(k0, b) v = MatMul(x, V) "
SCORES = "t = Transpose<perm = [0, 2, 1]>(k) s = MatMul(q, t) "
READ = " h = MatMul(p, v) y = MatMul(h, O)"


def serialized(nodes: str, *, opset: int = 17, **constants: np.ndarray) -> bytes:
    """A model in ONNX's text form: matrices Q, K, V, O, a bias b, and what else is given."""
    random = np.random.default_rng(0)
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["": {opset}, "com.microsoft": 1]> '
        f"net (float[N,{STEPS},{WIDTH}] x) => (float[N,{STEPS},{WIDTH}] y) {{ {nodes} }}"
    )
    weights = {name: random.normal(0, 0.5, (WIDTH, WIDTH)) for name in "QKVO"} | {"b": random.normal(0, 1, WIDTH)}
    weights = {name: value.astype(np.float32) for name, value in weights.items()} | constants
    read = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in weights.items() if name in read
    )
    return model.SerializeToString()


def written(nodes: str, *, opset: int = 17, **constants: np.ndarray) -> CheckedModel:
    return check_model(serialized(nodes, opset=opset, **constants))


def sites(model: CheckedModel) -> tuple[AttentionSite, ...]:
    return find_attention(model, find_sources(model))


def inputs(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((SAMPLES, STEPS, WIDTH)).astype(np.float32)


def seen(model: CheckedModel, x: np.ndarray) -> tuple[AttentionStats, ...]:
    """What a measurement says of each attention."""
    batch = npz(x=x, target=np.zeros(len(x), np.int64) if model.outputs[0].shape[1:] == (5,) else x)
    return measure(prepare(model, batch, AnalysisOptions()), cotangents=()).attention


def entropy_share(weights: np.ndarray, keys: np.ndarray | int) -> float:
    """Mean entropy of each row of weights [.., K] over log of the keys it may see; rows without choice left out."""
    keys = np.broadcast_to(keys, weights.shape[:-1])
    terms = np.where(weights > 0, -weights * np.log(np.where(weights > 0, weights, 1.0)), 0.0)
    return float((terms.sum(-1)[keys > 1] / np.log(keys[keys > 1])).mean())


def softmax(scores: np.ndarray) -> np.ndarray:
    shares = np.exp(scores.astype(np.float64) - scores.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


# ------------------------------------------------------------------ written by hand


@pytest.mark.parametrize(
    ("between", "constants"),
    [
        ("p = Softmax(s)", {}),
        ("c = Div(s, root) p = Softmax<axis = -1>(c)", {"root": np.float32(WIDTH**0.5)}),
        ("m = Add(s, mask) p = Softmax(m)", {"mask": np.triu(np.full((STEPS, STEPS), -1e9, np.float32), 1)}),
        (
            "m = Where(seen, s, low) p = Softmax(m)",
            {"seen": np.tri(STEPS, dtype=bool), "low": np.full(1, -1e9, np.float32)},
        ),
        (
            "c = Mul(s, root) m = Add(c, mask) r = Reshape(m, flat) f = Softmax(r) p = Reshape(f, back)",
            {
                "root": np.float32(0.4), "mask": np.zeros((STEPS, STEPS), np.float32),
                "flat": np.array([-1, 1, STEPS, STEPS]), "back": np.array([-1, STEPS, STEPS]),
            },
        ),
        ("u = Softmax(s) p = Dropout(u)", {}),
    ],
)  # fmt: skip
def test_scores_may_be_scaled_masked_and_reshaped(between: str, constants: dict[str, np.ndarray]) -> None:
    model = written(PROJECTIONS + SCORES + between + READ, **constants)
    (site,) = sites(model)
    product = find_product(model, find_sources(model), site)
    assert site.node.op_type == "Softmax"
    assert site.scores == site.node.input[0]
    assert site.keys == "k"
    assert product is not None
    assert product.output[0] == "s"


def test_an_einsum_of_queries_and_keys_is_an_attention() -> None:
    nodes = 's = Einsum<equation = "bqd,bkd->bqk">(q, k) p = Softmax(s) h = Einsum<equation = "bqk,bkd->bqd">(p, v)'
    (site,) = sites(written(f"{PROJECTIONS}{nodes} y = MatMul(h, O)"))
    assert (site.scores, site.keys) == ("s", None)
    gated = nodes.replace("bqd,bkd->", "bqd,bkd,bkd->").replace("(q, k)", "(q, k, v)")
    assert sites(written(f"{PROJECTIONS}{gated} y = MatMul(h, O)")) == ()


@pytest.mark.parametrize(
    "nodes",
    [
        "l = MatMul(x, Q) p = Softmax(l) v = MatMul(x, V) y = Mul(p, v)",  # a gate
        "l = MatMul(x, Q) p = Softmax(l) y = MatMul(p, O)",  # a mixture with learnt values
        PROJECTIONS + SCORES + "p = Softmax(s) y = MatMul(p, x0)",  # weights that go into a constant
        PROJECTIONS + SCORES + "y = Softmax(s)",  # probabilities
    ],
)
def test_a_softmax_that_weighs_something_else_is_no_attention(nodes: str) -> None:
    constants = {"x0": np.ones((STEPS, WIDTH), np.float32)} if "x0" in nodes else {}
    assert sites(written(nodes, **constants)) == ()


def test_two_attentions_are_found_in_topological_order() -> None:
    second = " q2 = MatMul(h, Q) t2 = Transpose<perm = [0, 2, 1]>(h) s2 = MatMul(q2, t2) p2 = Softmax(s2)"
    nodes = f"{PROJECTIONS}{SCORES} p = Softmax(s) h = MatMul(p, v) {second} y = MatMul(p2, h)"
    assert [site.scores for site in sites(written(nodes))] == ["s", "s2"]


# ------------------------------------------------------------------ whose bias a softmax cancels


KEYS_FIRST = "t = Transpose<perm = [0, 2, 1]>(q) s = MatMul(k, t) "


@pytest.mark.parametrize(
    "nodes",
    [
        SCORES + "p = Softmax(s)",
        SCORES + "c = Mul(s, root) m = Add(c, mask) p = Softmax(m)",
        KEYS_FIRST + "u = Softmax<axis = 1>(s) p = Transpose<perm = [0, 2, 1]>(u)",
        KEYS_FIRST + "u = Softmax<axis = -2>(s) p = Transpose<perm = [0, 2, 1]>(u)",
        KEYS_FIRST + "u = Transpose<perm = [0, 2, 1]>(s) p = Softmax(u)",
        KEYS_FIRST + "p = Softmax(s)",
        SCORES + "c = Tanh(s) p = Softmax(c)",
        SCORES + "c = Clip(s, low, high) p = Softmax(c)",
        SCORES + "c = Mul(s, s) p = Softmax(c)",
    ],
)
def test_keys_are_what_may_be_shifted_without_any_effect(nodes: str) -> None:
    """Ground truth by onnxruntime: the bias of `k` changes, and so do the outputs, or not."""
    constants = {
        "root": np.float32(0.4), "mask": np.tri(STEPS, dtype=np.float32), "low": np.float32(-1), "high": np.float32(1),
    }  # fmt: skip
    biases = [np.zeros(WIDTH, np.float32), np.linspace(-3, 3, WIDTH, dtype=np.float32)]
    models = [serialized(PROJECTIONS + nodes + READ, **constants, b=bias) for bias in biases]
    one, other = (onnxruntime.InferenceSession(each).run(None, {"x": inputs()})[0] for each in models)
    (site,) = sites(check_model(models[0]))
    assert (site.keys == "k") == bool(np.allclose(one, other, atol=1e-4))


# ------------------------------------------------------------------ how far, along which axis, under what mask


def copies(start: str, count: int, prefix: str) -> tuple[str, str]:
    """Identities behind a value, and what the last of them writes."""
    names = [start, *(f"{prefix}{place}" for place in range(count))]
    return " ".join(f"{after} = Identity({before})" for before, after in pairwise(names)), names[-1]


@pytest.mark.parametrize(("count", "found"), [(0, True), (7, True), (8, False)])
def test_a_product_is_looked_for_over_eight_nodes_in_front_of_the_softmax(count: int, found: bool) -> None:
    between, last = copies("s", count, "c")
    assert bool(sites(written(f"{PROJECTIONS}{SCORES}{between} p = Softmax({last}){READ}"))) is found


@pytest.mark.parametrize(("count", "found"), [(0, True), (7, True), (8, False)])
def test_the_values_are_looked_for_over_eight_nodes_behind_the_softmax(count: int, found: bool) -> None:
    between, last = copies("u", count, "c")
    read = READ.replace("MatMul(p,", f"MatMul({last},")
    assert bool(sites(written(f"{PROJECTIONS}{SCORES} u = Softmax(s) {between}{read}"))) is found


@pytest.mark.parametrize(("count", "keys"), [(0, "k"), (6, "k"), (7, None)])
def test_keys_are_followed_back_over_eight_nodes(count: int, keys: str | None) -> None:
    between, last = copies("k", count, "c")
    scores = SCORES.replace("(k)", f"({last})")
    (site,) = sites(written(f"{PROJECTIONS}{between} {scores} p = Softmax(s){READ}"))
    assert site.keys == keys


@pytest.mark.parametrize(
    "operator",
    ["Add(s, mask)", "Sub(s, mask)", "Mul(s, root)", "Div(s, root)", "Where(on, s, mask)", "Cast<to = 1>(s)",
     "Reshape(s, same)", "Identity(s)", "Clip(s)", "Expand(s, ones)", "Dropout(s)", "Tanh(s)"],
)  # fmt: skip
def test_scores_pass_what_scales_masks_or_lays_them_out(operator: str) -> None:
    constants = {
        "mask": np.zeros((STEPS, STEPS), np.float32), "root": np.float32(0.4), "on": np.tri(STEPS, dtype=bool),
        "same": np.array([-1, STEPS, STEPS]), "ones": np.array([1, 1, 1]),
    }  # fmt: skip
    (site,) = sites(written(f"{PROJECTIONS}{SCORES} m = {operator} p = Softmax(m){READ}", **constants))
    assert site.scores == "m"


@pytest.mark.parametrize("operator", ["Relu(s)", "Exp(s)", "Concat<axis = 0>(s)", "ReduceMean<keepdims = 1>(s)"])
def test_scores_do_not_pass_anything_else(operator: str) -> None:
    assert sites(written(f"{PROJECTIONS}{SCORES} m = {operator} p = Softmax(m){READ}")) == ()


@pytest.mark.parametrize(
    ("softmax", "opset", "axis"),
    [("Softmax(s)", 17, -1), ("Softmax<axis = 2>(s)", 17, -1), ("Softmax<axis = 1>(s)", 17, -2),
     ("Softmax<axis = 0>(s)", 17, -3), ("Softmax<axis = -2>(s)", 17, -2), ("Softmax<axis = 2>(s)", 12, -1)],
)  # fmt: skip
def test_the_axis_of_a_softmax_is_counted_from_the_end(softmax: str, opset: int, axis: int) -> None:
    (site,) = sites(written(f"{PROJECTIONS}{SCORES} p = {softmax}{READ}", opset=opset))
    assert site.axis == axis


@pytest.mark.parametrize(
    ("between", "keys"),
    [
        ("m = Div(s, root)", "k"),
        ("m = Mul(s, heads)", None),
        ("m = Mul(s, s)", None),
        ("m = Where(on, s, mask)", "k"),
        ("m = Reshape(s, same)", "k"),
        ("r = Transpose<perm = [0, 2, 1]>(s) m = Transpose<perm = [0, 2, 1]>(r)", "k"),
        ("m = Transpose<perm = [0, 2, 1]>(s)", "q"),
        ("m = Transpose<perm = [2, 0, 1]>(s)", "q"),
        ("m = Transpose<perm = [1, 2, 0]>(s)", None),
        ("r = Reshape(s, same) m = Transpose<perm = [0, 2, 1]>(r)", None),
        ("m = Transpose(s)", None),
        ("m = Tanh(s)", None),
        ("m = Clip(s)", None),
    ],
)
def test_whose_rows_the_softmax_runs_over_follows_from_the_way_in_between(between: str, keys: str | None) -> None:
    constants = {
        "mask": np.zeros((STEPS, STEPS), np.float32), "root": np.float32(0.4), "on": np.tri(STEPS, dtype=bool),
        "same": np.array([-1, STEPS, STEPS]), "heads": np.ones((1, STEPS, STEPS), np.float32),
    }  # fmt: skip
    queries = "q1 = Identity(q) "
    nodes = f"{PROJECTIONS}{queries}{SCORES.replace('MatMul(q,', 'MatMul(q1,')} {between} p = Softmax(m){READ}"
    (site,) = sites(written(nodes, **constants))
    assert site.keys == keys


@pytest.mark.parametrize(
    ("way", "keys"),
    [
        ("c = Mul(k, root)", "k"),
        ("c = Div(k, root)", "k"),
        ("c = Mul(root, k)", "k"),
        ("c = Mul(k, k)", "c"),
        ("c = Reshape(k, same)", "k"),
        ("c = Cast<to = 1>(k)", "k"),
        ("u = Unsqueeze(k, one) c = Squeeze(u, one)", "k"),
        ("c = Relu(k)", "c"),
        ("c = Identity(k) z = Relu(k)", None),
        ("c = Identity(k) z = Relu(c)", None),
    ],
)
def test_keys_come_from_where_nothing_but_their_layout_and_scale_has_changed_since(way: str, keys: str | None) -> None:
    constants = {"root": np.float32(0.4), "same": np.array([-1, STEPS, WIDTH]), "one": np.array([1])}
    nodes = f"{PROJECTIONS}{way} {SCORES.replace('(k)', '(c)')} p = Softmax(s){READ}"
    if " z = " in nodes:
        nodes = nodes.replace(" y = MatMul(h, O)", " o = MatMul(h, O) y = Add(o, z)")
    (site,) = sites(written(nodes, **constants))
    assert site.keys == keys


LARGEST = "r = ReduceMax<axes = [2], keepdims = 1>(x)"
BELOW = np.triu(np.ones((STEPS, STEPS), np.float32), 1)


@pytest.mark.parametrize(
    ("mask", "below"),
    [(-100.0, -50.0), (-50.0, -25.0), (-49.0, -5000.0), (-10_000.0, -5000.0), (-1e9, -5000.0), (100.0, -5000.0)],
)
@pytest.mark.parametrize(
    "way", ["m = Add(s, mask)", "a = Add(s, mask) m = Mul(a, root)", "w = Identity(mask) m = Add(w, s)"]
)
def test_keys_are_masked_below_half_of_what_a_mask_adds(mask: float, below: float, way: str) -> None:
    nodes = f"{PROJECTIONS}{SCORES} {way} p = Softmax(m){READ}"
    (site,) = sites(written(nodes, mask=mask * BELOW, root=np.float32(0.5)))
    assert site.masked_below == below


@pytest.mark.parametrize(
    ("way", "below"),
    [
        ("m = Where(on, s, low)", -100.0),
        (f"{LARGEST} g = Greater(r, root) f = Where(g, low, root) m = Add(s, f)", -100.0),
        (f"{LARGEST} f = Mul(r, low) m = Add(s, f)", -100.0),
        ("m = Sub(s, low)", -5000.0),
        ("m = Div(s, low)", -5000.0),
        (f"{LARGEST} f = Add(r, root) m = Add(s, f)", -5000.0),
        ("m = Add(s, none)", -5000.0),
    ],
)
def test_the_constant_of_a_mask_is_found_where_it_is_mixed_in(way: str, below: float) -> None:
    constants = {"low": np.float32(-200), "root": np.float32(0.5), "on": np.tri(STEPS, dtype=bool),
                 "none": np.zeros((0,), np.float32)}  # fmt: skip
    (site,) = sites(written(f"{PROJECTIONS}{SCORES} {way} p = Softmax(m){READ}", **constants))
    assert site.masked_below == below


def test_an_operator_that_holds_its_softmax_has_no_product_to_look_at() -> None:
    attributes = "q_num_heads = 1, kv_num_heads = 1"
    model = written(f"{PROJECTIONS} h = Attention<{attributes}>(q, k, v) y = MatMul(h, O)", opset=23)
    (site,) = sites(model)
    assert (site.scores, site.axis, site.keys) == (None, -1, "k")
    assert find_product(model, find_sources(model), site) is None
    packed = np.zeros((WIDTH, 3 * WIDTH), np.float32)
    assert sites(written("h = com.microsoft.Attention<num_heads = 2>(x, W) y = MatMul(h, O)", W=packed)) == ()


def test_the_product_of_scores_is_the_nearest_one_of_data_with_data() -> None:
    nodes = PROJECTIONS + SCORES + "l = MatMul(s, L) m = Add(l, s) p = Softmax(m)" + READ
    model = written(nodes, L=np.eye(STEPS, dtype=np.float32))
    (site,) = sites(model)
    product = find_product(model, find_sources(model), site)
    assert product is not None
    assert product.output[0] == "s"


# ------------------------------------------------------------------ written by exporters


class Attending(nn.Module):
    """torch's MultiheadAttention, read at the mean token."""

    def __init__(self, heads: int = 2) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(WIDTH, heads, batch_first=True), nn.Linear(WIDTH, 5)
        with torch.no_grad():
            self.attention.in_proj_weight.mul_(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))


class Scaled(nn.Module):
    """scaled_dot_product_attention between projections of its own."""

    def __init__(self, *, causal: bool = False, mask: torch.Tensor | None = None) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.head, self.causal = nn.Linear(WIDTH, 5), causal
        self.register_buffer("mask", mask)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.query(4 * x), self.key(x), self.value(x)
        read = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=self.mask, is_causal=self.causal)
        return self.head(read.mean(1))

    def scores(self, x: torch.Tensor) -> np.ndarray:
        return (self.query(4 * x) @ self.key(x).transpose(1, 2) / WIDTH**0.5).detach().numpy()


def test_the_sharpness_of_multi_head_attention_is_that_of_its_own_weights() -> None:
    module, x = seeded(Attending), inputs()
    (stats,) = seen(check_model(export(module, torch.zeros(2, STEPS, WIDTH))), x)
    tensor = torch.from_numpy(x)
    _, weights = module.attention(tensor, tensor, tensor, average_attn_weights=False)
    assert stats.entropy_share == pytest.approx(entropy_share(weights.detach().double().numpy(), STEPS), rel=1e-4)
    assert stats.entropy_share < 0.9
    assert stats.keys == STEPS


CAUSAL = np.tri(STEPS, dtype=bool)
PADDED = np.arange(STEPS) < 4 | np.eye(STEPS, dtype=bool)


@pytest.mark.parametrize(
    ("build", "allowed"),
    [
        (Scaled, np.ones((STEPS, STEPS), bool)),
        (lambda: Scaled(causal=True), CAUSAL),
        (lambda: Scaled(mask=torch.from_numpy(PADDED)), PADDED),
        (lambda: Scaled(mask=torch.zeros(STEPS, STEPS).masked_fill(~torch.from_numpy(CAUSAL), -torch.inf)), CAUSAL),
    ],
    ids=["plain", "causal", "boolean mask", "added mask"],
)
def test_masked_keys_do_not_count(build: type[Scaled], allowed: np.ndarray) -> None:
    module, x = seeded(build), inputs()
    (stats,) = seen(check_model(export(module, torch.zeros(2, STEPS, WIDTH))), x)
    scores, keys = module.scores(torch.from_numpy(x)), allowed.sum(1)
    weights = softmax(np.where(allowed, scores, -np.inf))
    assert stats.entropy_share == pytest.approx(entropy_share(weights, keys), rel=1e-4)
    variances = [scores[:, row, allowed[row]].var(-1).mean() for row in range(STEPS) if keys[row] > 1]
    assert stats.score_std == pytest.approx(np.sqrt(np.mean(variances)), rel=1e-4)


def test_an_attention_is_read_the_same_whichever_way_its_scores_lie() -> None:
    rows = PROJECTIONS + SCORES + "p = Softmax(s)" + READ
    columns = PROJECTIONS + KEYS_FIRST + "u = Softmax<axis = 1>(s) p = Transpose<perm = [0, 2, 1]>(u)" + READ
    (one,), (other,) = (seen(written(nodes), inputs()) for nodes in (rows, columns))
    assert other.entropy_share == pytest.approx(one.entropy_share, rel=1e-5)
    assert other.score_std == pytest.approx(one.score_std, rel=1e-5)


@pytest.mark.parametrize("causal", [0, 1])
def test_the_operator_attention_of_the_standard_is_read_inside(causal: int) -> None:
    attributes = f"q_num_heads = 1, kv_num_heads = 1, is_causal = {causal}"
    model = written(f"{PROJECTIONS} h = Attention<{attributes}>(q, k, v) y = MatMul(h, O)", opset=23)
    (site,) = sites(model)
    assert (site.node.op_type, site.scores, site.keys) == ("Attention", None, "k")
    x, weights = inputs(), {name: np.asarray(model.weights[name]) for name in "QKb"}
    scores = (x @ weights["Q"]) @ (x @ weights["K"] + weights["b"]).swapaxes(1, 2) / WIDTH**0.5
    allowed = CAUSAL if causal else np.ones((STEPS, STEPS), bool)
    (stats,) = seen(model, x)
    expected = entropy_share(softmax(np.where(allowed, scores, -np.inf)), allowed.sum(1))
    assert stats.entropy_share == pytest.approx(expected, rel=1e-4)


def test_a_fused_attention_of_onnxruntime_counts_as_attention() -> None:
    packed = np.random.default_rng(0).normal(0, 0.5, (WIDTH, 3 * WIDTH)).astype(np.float32)
    model = written("h = com.microsoft.Attention<num_heads = 2>(x, W) y = MatMul(h, O)", W=packed)
    measurement = measure(prepare(model, npz(x=inputs(), target=inputs()), AnalysisOptions()), cotangents=())
    assert measurement.attentive


# ------------------------------------------------------------------ masks of -100


def test_the_mask_of_shifted_windows_is_a_mask() -> None:
    """Swin adds -100 between regions: e^-100 is no weight, and no attention is saturated for it."""
    mask = np.where(CAUSAL, 0, -100).astype(np.float32)
    nodes = PROJECTIONS + SCORES + "m = Add(s, mask) p = Softmax(m)" + READ
    gentle, hard = (seen(written(nodes, mask=each), inputs())[0] for each in (mask, 100 * mask))
    assert gentle.entropy_share == pytest.approx(hard.entropy_share, rel=1e-5)
    assert gentle.score_std == pytest.approx(hard.score_std, rel=1e-5)


class ShiftedWindows(nn.Module):
    """Swin's attention within two windows, the second of which holds two regions."""

    def __init__(self, *, computed: bool = False) -> None:
        """`computed`: the graph makes the mask of the size of its input."""
        super().__init__()
        self.joint, self.head = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, 5)
        self.positions = nn.Parameter(0.02 * torch.randn(3, 3))
        self.computed = computed
        regions = torch.tensor([[0, 0, 0], [0, 1, 1]])
        self.register_buffer("mask", -100.0 * (regions[:, None] != regions[:, :, None]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = x.reshape(-1, 3, WIDTH)
        query, key, value = self.joint(parts).view(-1, 3, 3, 2, WIDTH // 2).permute(2, 0, 3, 1, 4).unbind(0)
        scores = query @ key.transpose(-1, -2) / (WIDTH // 2) ** 0.5
        mask = self.regions(x) if self.computed else self.mask
        scores = (scores.view(-1, 2, 2, 3, 3) + (self.positions + mask[None, :, None])).view(-1, 2, 3, 3)
        mixed = (torch.softmax(scores, -1) @ value).transpose(1, 2).reshape(-1, STEPS, WIDTH)
        return self.head(mixed.mean(1))

    def regions(self, x: torch.Tensor) -> torch.Tensor:
        step = torch.arange(x.shape[1], device=x.device)
        region = torch.where(step > x.shape[1] // 2, 1, 0).view(-1, 3)
        apart = region[:, None] != region[:, :, None]
        return torch.zeros(apart.shape, device=x.device).masked_fill(apart, -100.0)


@pytest.mark.parametrize("computed", [False, True])
def test_swin_with_fresh_weights_has_no_saturated_attention(computed: bool) -> None:
    content = export(seeded(lambda: ShiftedWindows(computed=computed)), torch.zeros(2, STEPS, WIDTH))
    (stats,) = seen(check_model(content), inputs())
    assert stats.entropy_share > 0.9
    assert stats.score_std < 1
