"""Which methods suit a graph: rules of thumb on its measures, each with its reason.

They say where to begin, not what will win: that is for a table with equal search to say.
"""

from dataclasses import dataclass
from typing import Any

HOMOPHILOUS = 0.3  # adjusted homophily from which smoothing over edges helps
UNINFORMATIVE = 0.05  # label informativeness below which edges say little about labels
FEW_LABELS = 0.1  # share of nodes to train on up to which deep propagation has labels to carry
MANY_NEIGHBOURS = 10  # mean degree from which a row of the adjacency describes a node
FEW_FEATURES = 16  # up to so many, degrees may say what features do not
LARGE = 1_000_000  # edges from which maps on every edge, or the whole graph at once, get dear
CLOSED = 0.3  # share of edges that close a triangle from which common neighbours tell links

SMOOTHERS = ("gcn", "gat", "sgc", "appnp", "gcnii", "dagnn", "dgmlp")
CARRIERS = ("appnp", "dagnn", "gcnii", "dgmlp")  # reach far at no or little cost in parameters
APART = ("sage", "gatedgcn")
SHEAVES = ("nsd", "nsd_connection", "cnsd")
ALONG_ARCS = ("dirgnn", "adpa")
LINKS = ("ncn", "ncnc")


@dataclass(frozen=True)
class Advice:
    """Whether a method suits a graph, and why, in a sentence.

    Attributes:
        method: Name of the model or link head.
        suits: Whether it is worth a try before others.
        reason: Why.
    """

    method: str
    suits: bool
    reason: str


def advise(
    measures: dict[str, Any], amud: Any = None, train_share: float | None = None
) -> list[Advice]:
    """Advice on each method, in a fixed order; nothing on those of which nothing can be said.

    Args:
        measures: What :func:`gnnzoo.data.measures.measure` found.
        amud: An ``AMUDResult``, where there is one.
        train_share: Share of all nodes that are trained on, where a split is known.
    """
    found = list(_links(measures))
    if "labels" not in measures or "features" not in measures:
        return found
    if "homophily" not in measures["labels"]:
        why = "no edge joins two labelled nodes, so edges cannot be seen to help"
        return [Advice("mlp", True, why), *found]
    adjusted = measures["labels"]["homophily"]["adjusted"]
    if adjusted is None or measures["labels"]["informativeness"] is None:
        return found  # one class only
    nodes = [
        _alone(measures["labels"]["informativeness"]),
        *_smoothers(adjusted, train_share),
        *_apart(adjusted),
        *_sheaves(adjusted, measures["edges"]["num_edges"]),
        _rows(adjusted, measures),
        _sums(measures["features"]["num_features"]),
        *_along_arcs(measures["edges"], amud),
    ]
    return nodes + found


def _told(adjusted: float) -> str:
    return f"adjusted homophily {adjusted:.2f}"


def _alone(informativeness: float) -> Advice:
    told = f"informativeness {informativeness:.2f}"
    if informativeness < UNINFORMATIVE:
        why = (
            f"the label at one end of an edge says little about the other's ({told}), so features "
            "alone may be hard to beat"
        )
        return Advice("mlp", True, why)
    return Advice("mlp", False, f"labels of neighbours tell of each other ({told}); a yardstick")


def _smoothers(adjusted: float, train_share: float | None) -> list[Advice]:
    found = []
    for method in SMOOTHERS:
        suits = adjusted >= HOMOPHILOUS
        if suits:
            why = f"neighbours tend to share labels ({_told(adjusted)}), so their mean helps"
        else:
            why = f"it averages over neighbours that are not of one class ({_told(adjusted)})"
        if suits and method in CARRIERS and train_share is not None:
            if train_share <= FEW_LABELS:
                why += (
                    f", and it carries the few labels ({100 * train_share:.1f} % of the nodes) far"
                )
            else:
                why += ", though with so many labels reach matters less"
        found.append(Advice(method, suits, why))
    return found


def _apart(adjusted: float) -> list[Advice]:
    ways = {
        "sage": "it keeps a node's own features apart from its neighbours' mean",
        "gatedgcn": "its gates can close edges between classes",
    }
    needed = adjusted < HOMOPHILOUS
    end = "which pays where they differ" if needed else "which is little needed where they agree"
    return [Advice(name, needed, f"{ways[name]}, {end} ({_told(adjusted)})") for name in APART]


def _sheaves(adjusted: float, num_edges: int) -> list[Advice]:
    if adjusted >= HOMOPHILOUS:
        why = f"its maps undo differences between neighbours that agree anyway ({_told(adjusted)})"
        return [Advice(name, False, why) for name in SHEAVES]
    if num_edges >= LARGE:
        why = f"it learns maps for every edge, and {num_edges:,} edges make that slow"
        return [Advice(name, False, why) for name in SHEAVES]
    why = f"its maps on edges let neighbours of different classes differ ({_told(adjusted)})"
    return [Advice(name, True, why) for name in SHEAVES]


def _rows(adjusted: float, measures: dict[str, Any]) -> Advice:
    edges, nodes = measures["edges"]["num_edges"], measures["num_nodes"]
    mean = edges / nodes
    suits = adjusted < HOMOPHILOUS and mean >= MANY_NEIGHBOURS
    why = f"it reads whom a node is joined to as features; {mean:.1f} edges per node "
    if mean < MANY_NEIGHBOURS:
        return Advice("linkx", suits, why + "are few to learn from")
    tail = (
        "describe it well"
        if suits
        else f"would do, but means of neighbours do too ({_told(adjusted)})"
    )
    return Advice("linkx", suits, why + tail)


def _sums(num_features: int) -> Advice:
    suits = num_features <= FEW_FEATURES
    why = f"it sums over neighbours and so counts them; {num_features} features "
    return Advice("gin", suits, why + ("leave much to counts" if suits else "say more than counts"))


def _along_arcs(edges: dict[str, Any], amud: Any) -> list[Advice]:
    if not edges["directed"]:
        why = "every edge runs both ways here, so there is no direction to tell apart"
    elif edges["node_order"]:
        why = "the arcs only follow the order of node ids, which says nothing about labels"
    elif amud is None:
        return []
    else:
        verb = "favours" if amud.directed else "does not favour"
        why = f"AMUD (reconstructed) {verb} direction: {amud.why}"
    suits = edges["directed"] and not edges["node_order"] and amud is not None and amud.directed
    return [Advice(method, suits, why) for method in ALONG_ARCS]


def _links(measures: dict[str, Any]) -> list[Advice]:
    closed = measures["edges"].get("closing_triangles")
    if closed is None:
        return []
    why = (
        f"to predict links: {100 * closed:.0f} % of the edges join nodes with a neighbour in common"
    )
    suits = closed >= CLOSED
    return [Advice(method, suits, why + ("" if suits else ", too few")) for method in LINKS]
