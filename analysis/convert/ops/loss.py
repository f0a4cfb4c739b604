"""Losses over classes: scores or log-probabilities [N, C, d1 .. dk], labels [N, d1 .. dk], class weights [C]."""

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.convert.registry import Tensor, op


@op("NegativeLogLikelihoodLoss", 12)
def negative_log_likelihood_loss(
    log_probabilities: Tensor, labels: Tensor, weight: Tensor | None = None, *, ignore_index: int | None = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """-weight[label] log p[label]; the mean is over the sum of these weights, and an ignored label weighs nothing."""
    labels = labels.long()
    ignored = torch.zeros_like(labels, dtype=torch.bool) if ignore_index is None else labels == ignore_index
    labels = labels.masked_fill(ignored, 0)
    picked = log_probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
    weights = torch.ones_like(picked) if weight is None else weight[labels]
    # both are masked: an ignored -inf would leave 0 * inf in the gradient of the other
    weights = weights.masked_fill(ignored, 0)
    losses = -picked.masked_fill(ignored, 0) * weights
    if reduction == "none":
        return losses
    # a ratio of means, because sums of many float16 losses overflow
    return losses.sum() if reduction == "sum" else losses.mean() / weights.mean()


@op("SoftmaxCrossEntropyLoss", 12)
def softmax_cross_entropy_loss(
    scores: Tensor, labels: Tensor, weight: Tensor | None = None, *, ignore_index: int | None = None,
    reduction: str = "mean",
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Negative log likelihood of the labels under the softmax of the scores, and the log-probabilities."""
    log_probabilities = F.log_softmax(scores, 1)
    loss = negative_log_likelihood_loss(
        log_probabilities, labels, weight, ignore_index=ignore_index, reduction=reduction
    )
    return loss, log_probabilities
