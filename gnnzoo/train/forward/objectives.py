"""Local losses: what one layer's output is asked for, and how it scores classes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus


@dataclass(frozen=True)
class Labels:
    """What is known of the training nodes.

    Args:
        nodes: ``[num_train]``, int64.
        classes: ``[num_train]``, int64.
        num_classes: Number of classes.
        virtual: ``[num_classes]``, int64, ids of virtual nodes; empty where there are none.
    """

    nodes: Tensor
    classes: Tensor
    num_classes: int
    virtual: Tensor


class Objective(ABC):
    """A loss that reads one layer's output and nothing else.

    Attributes:
        contrasts: Whether it compares streams, a true one and false ones, and scores a class by a
            pass of its own.
        virtual: Whether it reads virtual nodes.
    """

    contrasts = False
    virtual = False

    def reader(self, channels: int, num_classes: int) -> nn.Module:
        """What it learns on top of a layer, in that layer's optimiser."""
        return nn.Identity()

    def extra(self, labels: Labels) -> Tensor:
        """Nodes that scoring reads beside those it scores, ``[num_extra]``."""
        return labels.nodes[:0]

    def train_rows(self, labels: Labels) -> Tensor:
        """Nodes that the loss reads, ``[num_rows]``, the training nodes first."""
        return torch.cat([labels.nodes, labels.virtual]) if self.virtual else labels.nodes

    @abstractmethod
    def loss(self, z: Tensor, stream: int, labels: Labels, reader: nn.Module) -> Tensor:
        """The loss of a stream, from the layer's output at `train_rows`; stream 0 is the true one.

        Shapes:
            z: ``[num_rows, channels]``.
        """

    @abstractmethod
    def scores(
        self, outputs: Sequence[Tensor], num_scored: int, labels: Labels, reader: nn.Module
    ) -> Tensor:
        """One layer's say on each class, to be added up over layers.

        Args:
            outputs: For each scoring stream ``[num_scored + num_extra, channels]``.

        Shapes:
            returns: ``[num_scored, num_classes]``.
        """

    def decide(self, total: Tensor, num_summed: int) -> Tensor:
        """Logits of the sum of scores."""
        return (total / num_summed).clamp_min(torch.finfo(total.dtype).tiny).log()


class ClassLogits(Objective):
    """What classifies each node: its scores are probabilities."""

    @abstractmethod
    def class_logits(self, z: Tensor, num_scored: int, labels: Labels, reader: nn.Module) -> Tensor:
        """``[num_scored, num_classes]``, from rows followed by those at `extra`."""

    def scores(
        self, outputs: Sequence[Tensor], num_scored: int, labels: Labels, reader: nn.Module
    ) -> Tensor:
        return self.class_logits(outputs[0], num_scored, labels, reader).softmax(1)


class PrototypeCE(ClassLogits):
    r"""Cross-entropy over the similarity to one prototype per class.

    .. math:: -\frac{1}{|T|} \sum_{i \in T} \ln
        \frac{\exp(s_{i y_i})}{\sum_k \exp(s_{ik})}, \qquad
        s_{ik} = \langle z_i, c_k \rangle / \tau

    Prototypes are the rows of virtual nodes (SF of "Forward Learning of Graph Neural Networks",
    Park et al., ICLR 2024, https://arxiv.org/abs/2403.11004), or the means of the training nodes.

    Args:
        temperature: :math:`\tau`, positive.
        virtual: Whether virtual nodes are the prototypes.
    """

    def __init__(self, temperature: float = 1.0, virtual: bool = True) -> None:
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.temperature, self.virtual = temperature, virtual

    def extra(self, labels: Labels) -> Tensor:
        return labels.virtual if self.virtual else labels.nodes

    def loss(self, z: Tensor, stream: int, labels: Labels, reader: nn.Module) -> Tensor:
        count = labels.nodes.numel()
        rows = z if self.virtual else torch.cat([z, z])  # training nodes are the extra ones
        return cross_entropy(self.class_logits(rows, count, labels, reader), labels.classes)

    def class_logits(self, z: Tensor, num_scored: int, labels: Labels, reader: nn.Module) -> Tensor:
        scored, rest = z[:num_scored], z[num_scored:]
        prototypes = rest if self.virtual else class_means(rest, labels)
        return scored @ prototypes.t() / self.temperature


class Probe(ClassLogits):
    """Cross-entropy of a linear map per layer: greedy layer-wise supervision, a control."""

    def reader(self, channels: int, num_classes: int) -> nn.Module:
        return nn.Linear(channels, num_classes)

    def loss(self, z: Tensor, stream: int, labels: Labels, reader: nn.Module) -> Tensor:
        return cross_entropy(reader(z), labels.classes)

    def class_logits(self, z: Tensor, num_scored: int, labels: Labels, reader: nn.Module) -> Tensor:
        return reader(z)


class Goodness(Objective):
    r"""Forward-forward: high activity for true labels, low activity for wrong ones.

    .. math:: \frac{1}{|T|} \sum_{i \in T} \mathrm{softplus}(\theta - g_i^+)
        + \frac{1}{J |T|} \sum_j \sum_{i \in T} \mathrm{softplus}(g_{ij}^- - \theta), \qquad
        g_i = \sum_d z_{id}^2

    A class scores :math:`g - \theta`, with the class as everybody's hypothetical label.
    Differs from the published code, which takes the mean instead of the sum when it scores.

    Args:
        threshold: :math:`\theta`, positive.
        num_negatives: J, false streams.
    """

    contrasts = True

    def __init__(self, threshold: float, num_negatives: int) -> None:
        if not threshold > 0:
            raise ValueError(f"threshold must be positive, got {threshold}")
        self.threshold, self.num_negatives = threshold, num_negatives

    def loss(self, z: Tensor, stream: int, labels: Labels, reader: nn.Module) -> Tensor:
        good = z.square().sum(1)
        if stream == 0:
            return softplus(self.threshold - good).mean()
        return softplus(good - self.threshold).mean() / self.num_negatives

    def scores(
        self, outputs: Sequence[Tensor], num_scored: int, labels: Labels, reader: nn.Module
    ) -> Tensor:
        return torch.stack([z.square().sum(1) - self.threshold for z in outputs], dim=1)

    def decide(self, total: Tensor, num_summed: int) -> Tensor:
        return total


def class_means(z: Tensor, labels: Labels) -> Tensor:
    """``[num_classes, channels]``: means of the training nodes' rows, class by class."""
    own = torch.nn.functional.one_hot(labels.classes, labels.num_classes).to(z.dtype)
    return own.t() @ z / own.sum(0).unsqueeze(1)
