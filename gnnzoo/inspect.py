"""What ``gnnzoo inspect`` finds out about a data set, and how it is shown."""

import re
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gnnzoo.config import Composed, ConfigError, build, compose, refuse_missing
from gnnzoo.data import GraphDataset, GraphSet, NodeTask, amud, amud_over_splits
from gnnzoo.data.amud import NAME, AMUDResult
from gnnzoo.data.measures import degree_tensors, edge_measures, measure
from gnnzoo.data.suitability import advise
from gnnzoo.files import make_folder
from gnnzoo.ops import Graph
from gnnzoo.paths import runs_root
from gnnzoo.registry import list_names
from gnnzoo.results.graph_plot import plot_graph

MOST_SPLITS = 10  # seeds whose training labels AMUD is asked with


def inspect_dataset(overrides: list[str]) -> dict[str, Any]:
    """Measure a data set, ask AMUD (reconstructed), advise on methods and draw the graph.

    Args:
        overrides: As for ``gnnzoo train``: ``dataset=cora``, or ``dataset=file`` and its path.

    Returns:
        ``dataset``, what :func:`gnnzoo.data.measures.measure` returns, ``splits``, ``stored`` (the
        arcs of a file before they are made undirected), ``amud (reconstructed)``, ``warnings``,
        ``methods`` and ``plot``. What cannot be said of a graph is left out.

    Raises:
        ConfigError: If no data set is named, or a setting is wrong.
    """
    composed = compose(_checked(overrides))
    refuse_missing(OmegaConf.create({"dataset": composed.settings.dataset}))
    make_folder(runs_root(), "GNNZOO_RUNS")
    trusted = composed.trusted()
    dataset = build(composed.settings.dataset, trusted)
    if isinstance(dataset, GraphSet):
        raise ConfigError(
            f"{dataset.name} holds {dataset.num_graphs:,} graphs, but gnnzoo inspect looks at one; "
            f"its card says what it is: gnnzoo list datasets {dataset.name}"
        )
    data = dataset.data
    report = {"dataset": _title(composed, dataset), **measure(data, dataset.num_classes)}
    if stored := _stored(composed.settings.dataset, trusted):
        report["stored"] = stored
    found, masks = None, _training_masks(composed, dataset)
    if masks:
        report["splits"] = {"number": len(masks), "train_share": _share(masks)}
    if "homophily" in report.get("labels", {}):
        found = _ask(report, data, masks)
    report["warnings"] = _warnings(report)
    share = _share(masks) if masks else None
    known = {*list_names("models"), *list_names("heads")}
    report["methods"] = [
        asdict(advice) for advice in advise(report, found, share) if advice.method in known
    ]
    path = runs_root() / "inspect" / f"{_file_name(report['dataset'])}.png"
    degrees = degree_tensors(Graph.from_edge_index(data.edge_index, data.num_nodes))
    plot_graph(
        {name: degree.numpy() for name, degree in degrees.items()},
        report.get("labels", {}).get("mixing"),
        path,
        report["dataset"],
    )
    report["plot"] = str(path)
    return report


def _checked(overrides: list[str]) -> list[str]:
    """The overrides, if they name a data set."""
    known = "give one as dataset=cora, or your own file as dataset=file dataset.path=graph.npz"
    for override in overrides:
        if "=" not in override and not override.startswith("~"):
            raise ConfigError(f"{override!r} names no setting; {known}")
    if not any(override.startswith("dataset=") for override in overrides):
        raise ConfigError(f"no data set is named; {known}")
    return overrides


def _title(composed: Composed, dataset: GraphDataset) -> str:
    path = composed.settings.dataset.get("path")
    return Path(path).name if path else str(composed.choices.get("dataset") or dataset.name)


def _file_name(title: str) -> str:
    return re.sub(r"[^\w.-]", "_", title.removesuffix(".npz"))


def _stored(settings: DictConfig, trusted: tuple[str, ...]) -> dict[str, Any] | None:
    """The edges of a user's file as they stand there, if they were made undirected on loading."""
    if not settings.get("path") or settings.get("directed") is not False:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were given when it was loaded before
        data = build({**OmegaConf.to_container(settings), "directed": True}, trusted).data
    return edge_measures(Graph.from_edge_index(data.edge_index, data.num_nodes))


def _training_masks(composed: Composed, dataset: GraphDataset) -> list[Any]:
    """The training masks of the first seeds by the data set's protocol; none if it cannot split."""
    if dataset.data.y is None or dataset.data.x is None:
        return []
    masks: dict[str, Any] = {}
    try:
        protocol = build(composed.settings.protocol, composed.trusted())
        for seed in range(MOST_SPLITS):
            task = protocol(dataset, seed)
            if not isinstance(task, NodeTask):
                return []
            masks.setdefault(task.split_sha256, task.data.train_mask)
    except ValueError:  # a file without masks
        return []
    return list(masks.values())


def _share(masks: list[Any]) -> float:
    return sum(float(mask.double().mean()) for mask in masks) / len(masks)


def _ask(report: dict[str, Any], data: Any, masks: list[Any]) -> AMUDResult | None:
    """Ask AMUD with all labels and with those of each split; add the answers to the report."""
    graph = Graph.from_edge_index(data.edge_index, data.num_nodes)
    try:
        found = amud(graph, data.y)
    except ValueError:  # one class, or no two nodes of one
        return None
    report[NAME.lower()] = answer = asdict(found)
    if masks and report["edges"]["directed"]:
        try:
            stability = amud_over_splits(graph, data.y, masks)
        except ValueError:  # the same, among the training nodes of a split
            return found
        answer["splits"] = {
            "number": len(masks),
            "directed": sum(result.directed for result in stability.results),
            "agreement": stability.agreement,
            "scores": [result.score for result in stability.results],
        }
    return found


def _warnings(report: dict[str, Any]) -> list[str]:
    edges, found = report["edges"], []
    if edges["node_order"]:
        found.append(
            "all arcs go from a smaller node id to a larger one, or all the other way: the "
            "direction may be nothing but the order of the nodes, as where each undirected edge "
            "was stored once; models for directed graphs would learn from that order"
        )
    if report.get("stored", {}).get("directed") and not report["stored"]["node_order"]:
        found.append(
            f"the file holds arcs ({_percent(report['stored']['reciprocity'])} have their "
            "reverse), made undirected here; dataset.directed=true keeps them"
        )
    if edges["duplicates"]:
        found.append(
            f"repeated edges: {edges['duplicates']:,}; layers count each as often as it is given"
        )
    if report["components"]["isolated_nodes"]:
        number = report["components"]["isolated_nodes"]
        found.append(f"nodes without any neighbour: {number:,}; only their features speak for them")
    if "labels" in report and report["labels"]["smallest_class"] == 0:
        found.append("a class has no node")
    if "features" not in report:
        found.append(
            "nodes have no features; classifying nodes needs them, predicting links "
            "(head=dot, ncn ...) does without"
        )
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
