"""What labels add to a graph before forward-only training: nodes, edges, columns, wrong classes."""

import torch
from torch import Tensor


def virtual_edges(
    nodes: Tensor, classes: Tensor, num_nodes: int, bidirectional: bool = True
) -> Tensor:
    """Edges between nodes and the virtual node of a class each.

    Args:
        nodes: ``[num_labelled]``, int64.
        classes: ``[num_labelled]``, int64, in ``[0, num_classes)``.
        num_nodes: Number of real nodes; class k's virtual node has id ``num_nodes + k``.
        bidirectional: Whether virtual nodes send too; otherwise they listen only.

    Shapes:
        returns: ``[2, num_labelled]`` or, both ways, ``[2, 2 * num_labelled]``, int64.
    """
    up = torch.stack([nodes, num_nodes + classes])
    return torch.cat([up, up.flip(0)], dim=1) if bidirectional else up


def wrong_labels(labels: Tensor, num_classes: int, generator: torch.Generator) -> Tensor:
    """For each label all other classes, in random order.

    Shapes:
        labels: ``[num_labelled]``, int64.
        returns: ``[num_classes - 1, num_labelled]``, int64.
    """
    draws = torch.rand(labels.numel(), num_classes - 1, generator=generator)
    offsets = draws.argsort(dim=1).to(labels.device) + 1
    return ((labels.unsqueeze(1) + offsets) % num_classes).t().contiguous()


def label_columns(
    num_nodes: int, num_classes: int, nodes: Tensor, classes: Tensor, dtype: torch.dtype
) -> Tensor:
    """One-hot classes of some nodes, ``1 / num_classes`` for the others.

    Shapes:
        returns: ``[num_nodes, num_classes]``.
    """
    share = torch.full((num_nodes, num_classes), 1 / num_classes, dtype=dtype, device=nodes.device)
    share[nodes] = torch.nn.functional.one_hot(classes, num_classes).to(dtype)
    return share


def check_labels(labels: Tensor, num_classes: int) -> None:
    """Refuse training labels that no class, or not every class, can be made of.

    Raises:
        ValueError: If there are fewer than two classes, a label is out of range, or a class has no
            training node.
    """
    if num_classes < 2:
        raise ValueError(f"forward-only training needs at least 2 classes, got {num_classes}")
    wrong = ((labels < 0) | (labels >= num_classes)).nonzero()
    if len(wrong):
        raise ValueError(
            f"{len(wrong)} training labels are outside [0, {num_classes}), the first of them "
            f"{int(labels[wrong[0, 0]])}"
        )
    counts = torch.bincount(labels, minlength=num_classes)
    if len(empty := (counts == 0).nonzero().flatten().tolist()):
        raise ValueError(
            f"no training node has class {', '.join(map(str, empty))}, but forward-only training "
            "needs one of each; another split, or method=probe, works"
        )
