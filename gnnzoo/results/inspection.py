"""The findings of ``gnnzoo inspect`` as plain text."""

import textwrap
from collections.abc import Mapping
from typing import Any

AMUD = "amud (reconstructed)"
WIDTH = 100
_MEMORY = {
    "graph": "edges, compressed both ways",
    "features": "features, dense",
    "features_sparse": "features, sparse",
    "gcn_step": "training step of a two-layer GCN, hidden 64",
    "six_patterns": "features along six directed patterns, two hops (ADPA)",
}


def to_text(report: Mapping[str, Any]) -> str:
    """Sections of aligned lines; of what the report lacks nothing is said."""
    sections = {
        "sizes": _sizes(report),
        "edges": _edges(report["edges"]),
        "the file's edges, as stored": _edges(report["stored"]) if "stored" in report else {},
        "degrees (self-loops and repeated edges not counted)": _degrees(report["degrees"]),
        "components": _components(report["components"], report["edges"]["directed"]),
        "labels": _labels(report["labels"]) if "labels" in report else {},
        AMUD: _amud(report[AMUD]) if AMUD in report else {},
        "features": _features(report["features"]) if "features" in report else {},
        "memory, estimated": {
            _MEMORY[name]: _size(size) for name, size in report["memory_mib"].items()
        },
    }
    lines = [report["dataset"], ""]
    for title, entries in sections.items():
        if entries:
            lines += [title, *_aligned(entries), ""]
    for title, suits in (("suits", True), ("suits less", False)):
        chosen = [advice for advice in report["methods"] if advice["suits"] is suits]
        if chosen:
            lines += [title, *_grouped(chosen), ""]
    lines += [_wrapped(f"warning: {warning}", "") for warning in report["warnings"]]
    return "\n".join([*lines, f"plot: {report['plot']}"])


def _aligned(entries: Mapping[str, str]) -> list[str]:
    width = max(map(len, entries))
    return [
        _wrapped(f"  {name:<{width}}  {value}", " " * (width + 4))
        for name, value in entries.items()
    ]


def _grouped(advices: list[Mapping[str, Any]]) -> list[str]:
    """Methods with the same reason share a line."""
    by_reason: dict[str, list[str]] = {}
    for advice in advices:
        by_reason.setdefault(advice["reason"], []).append(advice["method"])
    return [_wrapped(f"  {', '.join(names)}: {why}", "    ") for why, names in by_reason.items()]


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _sizes(report: Mapping[str, Any]) -> dict[str, str]:
    sizes = {"nodes": f"{report['num_nodes']:,}", "edges": f"{report['edges']['num_edges']:,}"}
    if "features" in report:
        sizes["features"] = f"{report['features']['num_features']:,}"
    if "labels" in report:
        sizes["classes"] = f"{report['labels']['num_classes']:,}"
    if "splits" in report:
        split = report["splits"]
        number = "one split" if split["number"] == 1 else f"{split['number']} splits looked at"
        sizes["trained on"] = f"{_percent(split['train_share'])} of the nodes ({number})"
    return sizes


def _edges(edges: Mapping[str, Any]) -> dict[str, str]:
    entries = {
        "direction": "arcs" if edges["directed"] else "undirected, each edge counted both ways",
        "self-loops": f"{edges['self_loops']:,}",
        "repeated": f"{edges['duplicates']:,}",
        "density": f"{edges['density']:.3g}",
    }
    if edges["directed"]:
        entries["reciprocity"] = f"{_percent(edges['reciprocity'])} of the arcs have their reverse"
        entries["node order"] = f"{_percent(edges['ascending'])} go from a smaller to a larger id"
    if "closing_triangles" in edges:
        entries["closing triangles"] = _percent(edges["closing_triangles"])
    return entries


def _degrees(degrees: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    def line(values: Mapping[str, float]) -> str:
        known = {name: value for name, value in values.items() if name not in ("mean", "zeros")}
        quantiles = ", ".join(f"{name} {value:,.0f}" for name, value in known.items())
        return f"{quantiles}, mean {values['mean']:.1f}; {values['zeros']:,} nodes have 0"

    return {name: line(values) for name, values in degrees.items()}


def _components(components: Mapping[str, Any], directed: bool) -> dict[str, str]:
    entries = {
        "number": f"{components['number']:,}",
        "largest": f"{_percent(components['largest'])} of the nodes",
        "isolated nodes": f"{components['isolated_nodes']:,}",
    }
    if directed:
        entries["strong"] = f"{components['strong']:,} along the arcs"
    return entries


def _labels(labels: Mapping[str, Any]) -> dict[str, str]:
    entries = {
        "labelled": f"{labels['labelled_nodes']:,} nodes",
        "class sizes": f"{labels['smallest_class']:,} to {labels['largest_class']:,}",
    }
    for name, value in labels.get("homophily", {}).items():
        if value is not None:
            entries[f"{name.replace('_', ' ')} homophily"] = f"{value:.3f}"
    if labels.get("informativeness") is not None:
        entries["informativeness"] = f"{labels['informativeness']:.3f}"
    return entries


def _amud(amud: Mapping[str, Any]) -> dict[str, str]:
    score = f"{amud['score']:.3f}"
    if amud["interval"] is not None:
        low, high = amud["interval"]
        score += f", 95 % interval {low:.3f} to {high:.3f} ({amud['num_rows']:,} nodes drawn)"
    decision = "keep the arcs" if amud["directed"] else "make the graph undirected"
    if amud["reason"] == "symmetric":
        decision = "leave it undirected"
    if amud["same_decision"] < 1:
        decision += f" (so do {_percent(amud['same_decision'])} of the bootstrap draws)"
    entries = {
        "score": score,
        "correlations": ", ".join(f"r({name}) {value:.4f}" for name, value in amud["r"].items()),
        "decision": f"{decision}, by all {amud['num_labelled']:,} labels",
        "reason": amud["why"],
    }
    if splits := amud.get("splits"):
        low, high = min(splits["scores"]), max(splits["scores"])
        entries["training labels"] = (
            f"{splits['directed']} of {splits['number']} splits keep the arcs "
            f"(scores {low:.3f} to {high:.3f})"
        )
    return entries


def _features(features: Mapping[str, Any]) -> dict[str, str]:
    kind = ", all 0 or 1" if features["only_0_and_1"] else ""
    return {
        "density": f"{_percent(features['density'])} of the entries differ from 0{kind}",
        "nodes without": f"{features['nodes_without']:,}",
    }


def _size(mib: float) -> str:
    return f"{mib:,.1f} MiB" if mib >= 1 else f"{1024 * mib:,.1f} KiB"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
