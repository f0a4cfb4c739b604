"""What was analysed and what with: the header of the report."""

from typing import Final

import onnx
import onnxruntime
import torch

from analysis.facts import LOOKS_TRAINED, EngineFacts, ModelFacts, ParameterCount, ValueFacts
from analysis.model.checked import ValueSpec
from analysis.model.nodes import all_nodes
from analysis.options import AnalysisOptions
from analysis.subject.reference import asks_for_dropout, drawn_names
from analysis.subject.subject import Subject
from analysis.version import VERSION

DROPOUT_OFF: Final = "Dropout is off in measurement, also where the graph asks for training"
SAME_NUMBERS: Final = "the graph draws random numbers: the same ones in every pass"
FOLDED: Final = "convolutions have biases and there is no BatchNormalization: it may have been folded in"


def describe(subject: Subject, options: AnalysisOptions) -> tuple[EngineFacts, ModelFacts]:
    """What it was analysed with, and the model as uploaded."""
    return describe_engine(subject, options), describe_model(subject)


def describe_engine(subject: Subject, options: AnalysisOptions) -> EngineFacts:
    """Versions and settings that the numbers depend on."""
    return EngineFacts(
        version=VERSION,
        torch=torch.__version__,
        onnx=onnx.__version__,
        onnxruntime=onnxruntime.__version__,
        device=str(subject.device),
        threads=torch.get_num_threads(),
        seed=options.seed,
        effort=options.effort.value,
        precision=str(subject.precision).removeprefix("torch."),
        sandbox={},
    )


def describe_model(subject: Subject) -> ModelFacts:
    """The model as uploaded."""
    model, frozen = subject.model, subject.converted.frozen
    elements = {name: model.weights[name].size for name in model.weights}
    producer = f"{model.proto.producer_name} {model.proto.producer_version}".strip()
    return ModelFacts(
        name=model.name,
        sha256=model.sha256,
        size_bytes=model.size_bytes,
        producer=producer or "unknown",
        opset={entry.domain or "ai.onnx": entry.version for entry in model.proto.opset_import},
        nodes=len(model.nodes),
        parameters=ParameterCount(
            trainable=sum(parameter.numel() for parameter in subject.converted.parameters()),
            frozen=sum(elements[name] for name in frozen),
        ),
        inputs=tuple(_value(spec) for spec in model.inputs),
        outputs=tuple(_value(spec) for spec in model.outputs),
        frozen=frozen,
        notes=tuple(_notes(subject)),
    )


def _value(spec: ValueSpec) -> ValueFacts:
    return ValueFacts(name=spec.name, dtype=spec.dtype, shape=spec.shape)


def _notes(subject: Subject) -> list[str]:
    head = subject.objective.head
    notes = [LOOKS_TRAINED if subject.trained else "weights look untrained", *subject.model.notes]
    if head.stripped:
        notes.append(f"output {head.output} is measured at {head.value}, before {' and '.join(head.stripped)}")
    if len(subject.model.outputs) > 1:
        notes.append(f"of {len(subject.model.outputs)} outputs, the loss is taken at {head.output}")
    operators = {node.op_type for node in subject.model.nodes}
    biased = any(layer.op == "Conv" and "bias" in layer.parameters for layer in subject.layers)
    if subject.trained and biased and "BatchNormalization" not in operators:
        notes.append(FOLDED)
    if asks_for_dropout(all_nodes(subject.model.nodes)):
        notes.append(DROPOUT_OFF)
    if drawn_names(subject.model):
        notes.append(SAME_NUMBERS)
    return notes
