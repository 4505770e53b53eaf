"""Checks of a split of links: well formed, without overlap, and nothing leaks."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from gnnzoo.data.links import LinkSplit, LinkTask, link_keys

Complain = Callable[[str], None]
INTEGERS = (torch.int32, torch.int64)


def check_links(task: LinkTask, published: bool = False) -> None:
    """Check one split against leakage.

    Pairs are well formed, parts do not overlap in either direction, message graphs show nothing of
    what is to be predicted, and negatives are no links of any part.

    Args:
        task: The split.
        published: The split is one that others published, where links may be listed again in later
            parts (ogbl-collab does so): that is told as a warning, and negatives are taken as they
            are.

    Raises:
        ValueError: If something is wrong; the message names a pair.
    """
    num_nodes = task.data.num_nodes
    positives = {
        "train_links": task.train_links,
        "val.positives": task.val.positives,
        "test.positives": task.test.positives,
    }
    complain = _warn if published else _refuse
    for name, pairs in positives.items():
        _check_pairs(name, pairs, num_nodes)
        _check_no_self_pairs(name, pairs, complain)
    for part in ("val", "test"):
        split: LinkSplit = getattr(task, part)
        _check_negatives(f"{part}.negatives", split, num_nodes)
    keys = {name: link_keys(pairs, num_nodes) for name, pairs in positives.items()}
    known = {name: own.unique() for name, own in keys.items()}
    for name, own in keys.items():
        if len(known[name]) < len(own):
            again = own.sort().values
            pair = _pair(again[1:][again[1:] == again[:-1]][0], num_nodes)
            complain(
                f"{name} holds link {pair} more than once ({len(own) - len(known[name])} "
                "repetitions, of either direction); each link belongs into a part once"
            )
    for first, second in (
        ("train_links", "val.positives"),
        ("train_links", "test.positives"),
        ("val.positives", "test.positives"),
    ):
        shared = known[second][_among(known[second], known[first])]
        if len(shared):
            complain(
                f"link {_pair(shared[0], num_nodes)} is in both {first} and {second} "
                f"({len(shared)} such links); the parts of a split must not overlap"
            )
    _check_messages(task, known, complain)
    if not published:
        for part in ("val", "test"):
            pairs = getattr(task, part).negatives
            _check_no_self_pairs(f"{part}.negatives", pairs, complain)
            negatives = link_keys(pairs, num_nodes).flatten()
            for name, own in known.items():
                wrong = negatives[_among(negatives, own)]
                if len(wrong):
                    raise ValueError(
                        f"{part}.negatives holds {_pair(wrong[0], num_nodes)}, which is a link of "
                        f"{name} ({len(wrong)} such pairs); negatives must be no links"
                    )


def _check_messages(task: LinkTask, known: dict[str, Tensor], complain: Complain) -> None:
    """Message graphs go both ways and hold no link that the part they serve should predict."""
    num_nodes = task.data.num_nodes
    held_out = {
        "data.edge_index": (task.data.edge_index, ("val.positives", "test.positives")),
        "val.edge_index": (task.val.edge_index, ("val.positives", "test.positives")),
        "test.edge_index": (task.test.edge_index, ("test.positives",)),
    }
    for name, (edge_index, parts) in held_out.items():
        if edge_index is None:
            continue
        _check_pairs(name, edge_index, num_nodes, may_be_empty=True)
        source, target = edge_index.long()
        arcs = (source * num_nodes + target).sort().values
        back = (target * num_nodes + source).sort().values
        if not torch.equal(arcs, back):
            arc = arcs[~_among(arcs, back)]
            arc = arc[0] if len(arc) else arcs[arcs != back][0]
            raise ValueError(
                f"{name} holds arc {_pair(arc, num_nodes)} but not as often its reverse; message "
                "graphs go both ways (torch_geometric.utils.to_undirected)"
            )
        messages = link_keys(edge_index, num_nodes).unique()
        for part in parts:
            seen = known[part][_among(known[part], messages)]
            for earlier in list(known)[: list(known).index(part)]:  # told of as an overlap
                seen = seen[~_among(seen, known[earlier])]
            if len(seen):
                complain(
                    f"{name} shows link {_pair(seen[0], num_nodes)} of {part} ({len(seen)} such "
                    "links); what is to be predicted must not be passed messages along"
                )


def _check_pairs(name: str, pairs: Tensor, num_nodes: int, may_be_empty: bool = False) -> None:
    if pairs.dim() != 2 or pairs.size(0) != 2 or pairs.dtype not in INTEGERS:
        raise ValueError(
            f"{name} must be integers of shape [2, num_pairs], got {pairs.dtype} of shape "
            f"{list(pairs.shape)}"
        )
    if pairs.size(1):
        _check_range(name, pairs, num_nodes)
    elif not may_be_empty:
        raise ValueError(f"{name} is empty; every part of a split needs a link")


def _check_negatives(name: str, split: LinkSplit, num_nodes: int) -> None:
    negatives, num_positives = split.negatives, split.positives.size(1)
    shared = negatives.dim() == 2
    own = negatives.dim() == 3 and negatives.size(1) == num_positives
    if not (shared or own) or negatives.size(0) != 2 or negatives.dtype not in INTEGERS:
        raise ValueError(
            f"{name} must be integers of shape [2, num_negatives], or, each positive with its own, "
            f"[2, {num_positives}, num_own], got {negatives.dtype} of shape "
            f"{list(negatives.shape)}"
        )
    if negatives.numel() == 0:
        raise ValueError(f"{name} is empty; every part of a split needs negatives")
    _check_range(name, negatives, num_nodes)


def _check_range(name: str, pairs: Tensor, num_nodes: int) -> None:
    low, high = (int(bound) for bound in pairs.aminmax())
    if low < 0 or high >= num_nodes:
        raise ValueError(
            f"{name} names node {low if low < 0 else high}, but ids must be in [0, {num_nodes})"
        )


def _check_no_self_pairs(name: str, pairs: Tensor, complain: Complain) -> None:
    same = pairs[0] == pairs[1]
    if same.any():
        node = int(pairs[0][same][0])
        complain(f"{name} holds ({node}, {node}); a node is never paired with itself")


def _among(keys: Tensor, ascending: Tensor) -> Tensor:
    """Which keys occur in a sorted list."""
    if len(ascending) == 0:
        return torch.zeros_like(keys, dtype=torch.bool)
    place = torch.searchsorted(ascending, keys).clamp(max=len(ascending) - 1)
    return ascending[place] == keys


def _pair(key: Tensor, num_nodes: int) -> tuple[int, int]:
    return divmod(int(key), num_nodes)


def _refuse(message: str) -> None:
    raise ValueError(message)


def _warn(message: str) -> None:
    warnings.warn(f"as published, {message}", stacklevel=4)
