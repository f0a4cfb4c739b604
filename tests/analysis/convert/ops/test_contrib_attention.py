"""Cases of the attention of com.microsoft."""

import numpy as np

from tests.analysis.convert.ops.cases import Case, floats

MS: dict = {"domain": "com.microsoft"}
COSINE, SINE = floats(10, 4), floats(10, 4)
PLACES = np.array([[0, 1, 2], [4, 5, 9]], np.int64)
PROJECTION = [floats(2, 3, 6), floats(6, 24), floats(24)]
MASK = np.array([[1, 1, 0], [0, 1, 1]], np.int32)
MASKS = np.array([[[1, 0, 1], [1, 1, 0], [0, 0, 1]], [[0, 1, 1], [1, 1, 1], [1, 0, 0]]], np.int32)
SQUARE = np.ones((2, 1, 5, 5), np.int32)
SQUARE[0, 0, 1, 0] = SQUARE[1, 0, 2, 1] = SQUARE[0, 0, 3, 2] = 0
TWO: dict = {"num_heads": 2, "mask_filter_value": -5.0}
APART = [floats(2, 3, 8), floats(2, 4, 8), floats(2, 4, 6)]
CACHE = [floats(2, 2, 2, 4), floats(2, 2, 2, 3)]
STEP = [floats(2, 1, 8) for _ in range(3)]
LONG = [floats(2, 2, 6, 4), floats(2, 2, 6, 4)]
GROUPS: dict = {"num_heads": 4, "kv_num_heads": 2}
GROUPED = [floats(2, 3, 32), floats(2, 3, 16), floats(2, 3, 16)]
ALL_OF_IT = [np.array([2, 2], np.int32), np.array(3, np.int32)]


def int32(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def softmax(x: np.ndarray) -> np.ndarray:
    exponential = np.exp(x - x.max(-1, keepdims=True))
    return exponential / exponential.sum(-1, keepdims=True)


def attended(q: np.ndarray, k: np.ndarray, v: np.ndarray, bias: np.ndarray | float = 0.0) -> np.ndarray:
    """[B, H, S, D] -> [B, S, H D]."""
    y = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(np.float32(q.shape[-1])) + bias) @ v
    return y.swapaxes(1, 2).reshape(q.shape[0], q.shape[2], -1)


def packed_three(qkv: np.ndarray) -> np.ndarray:
    """[B, S, H, 3, D]; onnxruntime's kernel for the CPU takes separate ones only."""
    return attended(*qkv.transpose(3, 0, 2, 1, 4))


def packed_two(q: np.ndarray, kv: np.ndarray) -> np.ndarray:
    """[B, S, H, 2, D]; onnxruntime's kernel for the CPU takes separate ones only."""
    k, v = kv.transpose(3, 0, 2, 1, 4)
    return attended(q.reshape(*q.shape[:2], k.shape[1], -1).swapaxes(1, 2), k, v)


def under_square_mask(x: np.ndarray, w: np.ndarray, b: np.ndarray, mask: np.ndarray, past: np.ndarray) -> tuple:
    """Rows and columns of the mask from the first new token on; onnxruntime's kernel for the CPU refuses it."""
    q, k, v = (x @ w + b).reshape(*x.shape[:2], 3, 2, 4).transpose(2, 0, 3, 1, 4)
    k, v = np.concatenate((past[0], k), 2), np.concatenate((past[1], v), 2)
    bias = np.where(mask[:, :, 2:5, :5] > 0, np.float32(0), np.float32(-5))
    return attended(q, k, v, bias), np.stack((k, v))


ROTARY = [floats(1, 3, 64), floats(1, 3, 32), floats(1, 3, 32)]

CASES: list[Case] = [
    Case("RotaryEmbedding", [floats(2, 3, 16), PLACES, COSINE, SINE], **MS),
    Case("RotaryEmbedding", [floats(2, 2, 3, 8), np.array([2]), COSINE, SINE], {"interleaved": 1}, name="pairs", **MS),
    Case(
        "RotaryEmbedding", [floats(2, 3, 16), np.array([2]), floats(10, 2), floats(10, 2)],
        {"rotary_embedding_dim": 4, "num_heads": 2}, name="partial", **MS,
    ),
    Case("Attention", PROJECTION, {"num_heads": 2}, **MS),
    Case("Attention", PROJECTION[:2], {"num_heads": 2, "scale": 0.3}, name="no bias", **MS),
    Case("Attention", PROJECTION, {"num_heads": 2, "unidirectional": 1}, name="causal", **MS),
    *[
        Case(
            "Attention", [*PROJECTION, mask], {**TWO, "unidirectional": causal}, name=f"{name} {causal}", **MS,
        )
        for causal in (0, 1)
        for name, mask in (
            ("mask", MASK), ("masks", MASKS), ("ends", int32(2, 3)), ("ends and starts", int32(3, 2, 1, 0)),
            ("nothing but padding", np.zeros((2, 3), np.int32)),
        )
    ],
    Case("Attention", [*PROJECTION, None, floats(2, 2, 2, 2, 4)], {"num_heads": 2}, outputs=2, name="past", **MS),
    Case(
        "Attention", [*PROJECTION, np.array([[1, 1, 0, 1, 1], [0, 1, 1, 1, 0]], np.int32), floats(2, 2, 2, 2, 4)],
        {**TWO, "unidirectional": 1}, outputs=2, name="past, mask", **MS,
    ),
    Case(
        "Attention", [*PROJECTION, SQUARE, floats(2, 2, 2, 2, 4)], TWO, outputs=2, formula=under_square_mask,
        name="square mask", **MS,
    ),
    Case(
        "Attention", [*PROJECTION, MASK, None, floats(1, 2, 3, 3)], {**TWO, "unidirectional": 1}, name="bias", **MS
    ),
    Case("Attention", [*PROJECTION, None, None, floats(2, 1, 3, 3)], TWO, name="bias per sample", **MS),
    Case(
        "Attention", [PROJECTION[0], floats(6, 20), floats(20)], {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]},
        name="small values", **MS,
    ),
    Case("MultiHeadAttention", APART, TWO, **MS),
    Case("MultiHeadAttention", [*APART, floats(22)], TWO, outputs=3, name="bias", **MS),
    Case("MultiHeadAttention", [APART[0], floats(2, 3, 8), floats(2, 3, 6)],
         {**TWO, "unidirectional": 1, "scale": 0.3}, name="causal", **MS),
    *[
        Case("MultiHeadAttention", [*APART, None, mask], TWO, name=name, **MS)
        for name, mask in (
            ("mask", np.array([[1, 1, 1, 0], [0, 1, 0, 1]], np.int32)),
            ("masks", np.arange(24, dtype=np.int32).reshape(2, 3, 4) % 3),
            ("ends", int32(3, 1)),
        )
    ],
    Case("MultiHeadAttention", [*APART, None, None, floats(1, 2, 3, 4)], TWO, name="added to scores", **MS),
    Case(
        "MultiHeadAttention", [*APART[:2], floats(2, 4, 8), None, None, None, CACHE[0], floats(2, 2, 2, 4)], TWO,
        outputs=3, name="past", **MS,
    ),
    Case(
        "MultiHeadAttention",
        [APART[0], floats(2, 3, 8), floats(2, 3, 8), floats(24), np.array([[1, 0, 1, 1, 1], [1, 1, 1, 1, 0]], np.int32),
         floats(2, 2, 3, 5), CACHE[0], floats(2, 2, 2, 4)],
        {**TWO, "unidirectional": 1}, outputs=3, name="everything", **MS,
    ),
    Case("MultiHeadAttention", [APART[0], floats(2, 2, 4, 4), floats(2, 2, 4, 4)], TWO, name="keys in heads", **MS),
    Case("MultiHeadAttention", [floats(2, 3, 2, 3, 4)], TWO, formula=packed_three, name="packed", **MS),
    Case("MultiHeadAttention", [APART[0], floats(2, 4, 2, 2, 4)], TWO, formula=packed_two, name="packed keys", **MS),
    *[
        Case(
            "DecoderMaskedMultiHeadAttention", [*STEP, mask, bias, *LONG, int32(3), None, None, *more],
            {**TWO, "past_present_share_buffer": 1}, outputs=3, constant=(7,), name=name, **MS,
        )
        for name, mask, bias, more in (
            ("", None, None, []), ("masked", np.array([[1, 1, 1, 0], [1, 0, 1, 1]], np.int32), None, []),
            ("biased", None, None, [floats(24)]), ("scored", None, floats(1, 1, 1, 4), []),
        )
    ],
    Case(
        "DecoderMaskedMultiHeadAttention", [STEP[0], floats(2, 2, 4, 4), floats(2, 2, 4, 4)], TWO, name="of an encoder",
        **MS,
    ),
    Case("GroupQueryAttention", [*GROUPED, None, None, *ALL_OF_IT], GROUPS, outputs=3, **MS),
    Case("GroupQueryAttention", [floats(1, 3, 64), *[None] * 4, int32(2), ALL_OF_IT[1]], GROUPS, outputs=3,
         name="packed", **MS),
    *[
        Case("GroupQueryAttention", [*GROUPED, None, None, *ALL_OF_IT], {**GROUPS, **given}, outputs=3, name=name, **MS)
        for name, given in (
            ("window of one", {"local_window_size": 1}), ("window", {"local_window_size": 2, "scale": 0.3}),
            ("softcap", {"softcap": 1.5}), ("both ways", {"causal": 0}), ("smooth", {"smooth_softmax": 1}),
        )
    ],
    Case(
        "GroupQueryAttention", [*GROUPED, None, None, *ALL_OF_IT, None, None, None, floats(1, 1, 3, 3), floats(4)],
        {**GROUPS, "softcap": 2.0}, outputs=3, name="bias and sink", **MS,
    ),
    Case(
        "GroupQueryAttention",
        [each[:, :1] for each in GROUPED] + [floats(2, 2, 2, 8), floats(2, 2, 2, 8), int32(2, 1), ALL_OF_IT[1]],
        GROUPS, outputs=3, name="one step after unequal pasts", **MS,
    ),
    Case(
        "GroupQueryAttention",
        [each[:, :1] for each in GROUPED] + [floats(2, 2, 6, 8), floats(2, 2, 6, 8), int32(2, 1), ALL_OF_IT[1]],
        {**GROUPS, "local_window_size": 2}, outputs=3, name="one step in a long cache", **MS,
    ),
    Case(
        "GroupQueryAttention",
        [each[:1] for each in GROUPED] + [floats(1, 2, 2, 8), floats(1, 2, 2, 8), int32(4), np.array(5, np.int32)],
        GROUPS, outputs=3, name="steps after a past", **MS,
    ),
    *[
        Case(
            "GroupQueryAttention", [*ROTARY, None, None, int32(2), ALL_OF_IT[1], floats(8, 8), floats(8, 8)],
            {**GROUPS, "do_rotary": 1, "rotary_interleaved": interleaved}, outputs=3, name=f"rotary {interleaved}",
            **MS,
        )
        for interleaved in (0, 1)
    ],
    Case(
        "GroupQueryAttention",
        [*ROTARY, floats(1, 2, 2, 16), floats(1, 2, 2, 16), int32(4), np.array(5, np.int32), floats(8, 8), floats(8, 8)],  # noqa: E501 - one case, one line
        {**GROUPS, "do_rotary": 1}, outputs=3, name="rotary after a past", **MS,
    ),
    Case(
        "GroupQueryAttention",
        [*ROTARY, None, None, int32(2), ALL_OF_IT[1], floats(8, 8), floats(8, 8), np.array([[3, 5, 4]])],
        {**GROUPS, "do_rotary": 1}, outputs=3, name="rotary from a given place", **MS,
    ),
    Case(
        "GroupQueryAttention",
        [*ROTARY, floats(1, 2, 2, 16), floats(1, 2, 2, 16), int32(4), np.array(5, np.int32), floats(8, 8), floats(8, 8), np.array([[3, 5, 4]])],  # noqa: E501 - one case, one line
        {**GROUPS, "do_rotary": 1}, outputs=3, name="rotary at given places after a past", **MS,
    ),
]  # fmt: skip
