"""Makes the bundled sick model and its batch: `python deploy/demo/make_model.py`.

Twelve linear layers with sigmoids between them and Xavier weights: the textbook case of a vanishing gradient. The
batch are 256 samples of five noisy prototypes, easy for any healthy network. Exported with PyTorch's exporter, seeded;
a test holds the files in the repository to this script.
"""

import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent
MODEL, BATCH = HERE / "deep_sigmoid.onnx", HERE / "batch.npz"
LAYERS, WIDTH, INPUTS, CLASSES, SAMPLES = 12, 48, 32, 5, 256


def network() -> nn.Sequential:
    """The network, drawn with seed 0."""
    torch.manual_seed(0)
    sizes = [INPUTS, *[WIDTH] * (LAYERS - 1), CLASSES]
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        linear = nn.Linear(fan_in, fan_out)
        nn.init.xavier_normal_(linear.weight)  # biases stay torch's: the exporter would merge equal ones
        layers += [linear, nn.Sigmoid()]
    return nn.Sequential(*layers[:-1])


def batch() -> dict[str, np.ndarray]:
    """Inputs and class ids."""
    random = np.random.default_rng(0)
    prototypes = random.standard_normal((CLASSES, INPUTS))
    labels = random.integers(0, CLASSES, SAMPLES)
    inputs = prototypes[labels] + 0.5 * random.standard_normal((SAMPLES, INPUTS))
    return {"x": inputs.astype(np.float32), "target": labels}


def main() -> None:
    """Write both files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network().eval(), (torch.zeros(1, INPUTS),), str(MODEL), dynamo=False, input_names=["x"],
            output_names=["logits"], dynamic_axes={"x": {0: "N"}, "logits": {0: "N"}},
        )  # fmt: skip
    np.savez(BATCH, **batch())
    print(f"{MODEL.name}: {MODEL.stat().st_size} bytes, {BATCH.name}: {BATCH.stat().st_size} bytes")


if __name__ == "__main__":
    main()
