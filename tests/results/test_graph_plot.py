"""The figure of a graph, and the findings as text."""

import pytest

from gnnzoo.results.graph_plot import plot_graph
from gnnzoo.results.inspection import to_text


@pytest.mark.parametrize(
    ("degrees", "mixing"),
    [
        ({"degree": [1, 2, 2, 5]}, [[0.75, 0.25], None]),
        ({"in": [0, 3, 0, 0], "out": [1, 1, 1, 0]}, [[1 / 12] * 12] * 12),
        ({"degree": [0, 0]}, None),
        ({"degree": [0]}, [None]),
    ],
    ids=["small", "many classes", "no edges", "nothing at all"],
)
def test_graphs_of_all_kinds_are_drawn(degrees, mixing, tmp_path, recwarn):
    plot_graph(degrees, mixing, tmp_path / "graph.png", "A graph")
    content = (tmp_path / "graph.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(content) > 5000
    assert not [str(warning.message) for warning in recwarn.list]


def test_a_sampled_score_is_shown_with_its_interval():
    sizes = {"min": 0, "mean": 1.5, "zeros": 2}
    report = {
        "dataset": "large",
        "num_nodes": 50_000,
        "edges": {
            "num_edges": 75_000,
            "directed": True,
            "self_loops": 0,
            "duplicates": 3,
            "density": 3e-5,
            "reciprocity": 0.25,
            "ascending": 0.5,
        },
        "degrees": {"in": sizes, "out": sizes},
        "components": {"number": 7, "largest": 0.9, "isolated_nodes": 2, "strong": 20},
        "memory_mib": {"graph": 0.5},
        "amud (reconstructed)": {
            "score": 0.61234,
            "interval": (0.55, 0.66),
            "num_rows": 10_000,
            "num_labelled": 40_000,
            "r": {"A": 0.01, "AA": 0.02},
            "directed": True,
            "reason": "score",
            "same_decision": 0.97,
            "why": "patterns differ",
        },
        "methods": [
            {"method": "dirgnn", "suits": True, "reason": "it reads direction"},
            {"method": "adpa", "suits": True, "reason": "it reads direction"},
            {"method": "gcn", "suits": False, "reason": "it does not"},
        ],
        "warnings": ["something is odd"],
        "plot": "large.png",
    }
    text = to_text(report)
    for line in (
        "score         0.612, 95 % interval 0.550 to 0.660 (10,000 nodes drawn)",
        "correlations  r(A) 0.0100, r(AA) 0.0200",
        "decision      keep the arcs (so do 97.0 % of the bootstrap draws), by all 40,000 labels",
        "dirgnn, adpa: it reads direction",
        "warning: something is odd",
        "edges, compressed both ways  512.0 KiB",
    ):
        assert line in text
    assert "homophily" not in text
    assert text.splitlines()[-1] == "plot: large.png"
