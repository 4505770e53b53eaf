"""Hard negatives are hard, none of them a link, the same every time, and kept on disk."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from gnnzoo.data import (
    GraphDataset,
    HeartLinks,
    LinkParts,
    LinkSplit,
    MissingDataError,
    check_links,
    planetoid,
)
from gnnzoo.data import hard_negatives as module
from gnnzoo.data.hard_negatives import hard_negatives
from gnnzoo.data.links import link_keys
from gnnzoo.ops import Graph
from tests.reference import hard_negatives as reference

NODES = 60
OWN = 7


def toy(num_links: int = 150, features: bool = True, **changes) -> GraphDataset:
    generator = torch.Generator().manual_seed(0)
    ends = torch.randint(NODES - 1, (2, num_links), generator=generator)  # the last is isolated
    ends = ends[:, ends[0] != ends[1]]
    data = Data(edge_index=to_undirected(ends, num_nodes=NODES), num_nodes=NODES)
    if features:
        data.x = (torch.rand(NODES, 12, generator=generator) < 0.15).float()
    return GraphDataset(name="toy", data=data, sha256="", **changes)


def toy_graph() -> tuple[Graph, Tensor, Tensor]:
    dataset = toy()
    graph = Graph.from_edge_index(dataset.data.edge_index, NODES)
    dense = torch.zeros(NODES, NODES, dtype=torch.float64)
    dense[dataset.data.edge_index[0], dataset.data.edge_index[1]] = 1
    return graph, dense, dataset.data.x


def test_heuristics_equal_dense_ones():
    graph, dense, x = toy_graph()
    nodes = torch.tensor([3, 0, NODES - 1, 17])
    found = module.resource_allocation(graph, nodes)
    torch.testing.assert_close(found, reference.resource_allocation(dense)[nodes])
    found = module.pagerank(graph, nodes, tolerance=1e-10)
    torch.testing.assert_close(found, reference.pagerank(dense)[nodes], atol=1e-10, rtol=0)
    torch.testing.assert_close(module.cosine(x, nodes), reference.cosine(x)[nodes])
    assert (module.cosine(torch.zeros(NODES, 3), nodes) == 0).all()


def test_a_coarse_pagerank_is_as_far_off_as_it_may_be():
    graph, dense, _ = toy_graph()
    exact = reference.pagerank(dense)
    error = (module.pagerank(graph, torch.arange(NODES), tolerance=0.01) - exact).abs().sum(dim=1)
    assert 1e-6 < float(error.max()) <= 0.01


@pytest.mark.parametrize("heuristics", [["ra"], ["ppr", "cosine"], ["ra", "ppr", "cosine"]])
def test_the_hardest_candidates_are_those_with_the_best_ranks(heuristics):
    graph, dense, x = toy_graph()
    messages = Graph.from_edge_index(graph.edge_index[:, :-40], NODES)
    messages = Graph.from_edge_index(to_undirected(messages.edge_index), NODES)
    seen = torch.zeros_like(dense)
    seen[messages.edge_index[0], messages.edge_index[1]] = 1
    scores = {
        "ra": reference.resource_allocation(seen),
        "ppr": reference.pagerank(seen),
        "cosine": reference.cosine(x),
    }
    found = hard_negatives(torch.arange(NODES), graph, messages, x, OWN, heuristics, 1e-14)
    assert found.shape == (NODES, OWN)
    for node in range(NODES):
        candidates = [v for v in range(NODES) if v != node and not dense[node, v]]
        best = reference.best_ranks([scores[name][node] for name in heuristics], candidates)
        ranks = [best[v] for v in found[node].tolist()]  # a KeyError if it is no candidate
        assert ranks == sorted(best.values())[:OWN]
        assert len(set(found[node].tolist())) == OWN


def test_zero_scores_come_last_where_the_released_rule_lets_them_in():
    """The numbers of the specification: 30, 900 and 2,400 of 2,700 candidates with a score."""
    generator = torch.Generator().manual_seed(0)
    num_candidates, with_score = 2700, (30, 900, 2400)
    scores = torch.rand(3, num_candidates + 1, dtype=torch.float64, generator=generator)
    for score, num in zip(scores, with_score, strict=True):
        score[torch.randperm(num_candidates + 1, generator=generator)[num:]] = 0
    excluded = torch.zeros(1, num_candidates + 1, dtype=torch.bool)
    excluded[0, 0] = True
    node = torch.tensor([0])
    found = module._hardest(node, [s.unsqueeze(0) for s in scores], excluded, 250, seed=0)[0]
    candidates = list(range(1, num_candidates + 1))
    ours = reference.best_ranks(list(scores), candidates)
    theirs = reference.best_ranks(list(scores), candidates, zeros_rank=True)
    assert [ours[v] for v in found.tolist()] == sorted(ours.values())[:250]
    assert max(ours[v] for v in found.tolist()) < 125
    assert (scores[:, found] > 0).any(dim=0).all()
    worst = max(theirs.values())
    tied = [v for v in candidates if theirs[v] == worst]
    assert num_candidates - len(tied) < 100  # all others are tied there, hopeless ones included
    assert any((scores[:, v] == 0).all() for v in tied)


def test_candidates_without_any_score_are_drawn_by_seed_when_others_are_used_up():
    links = to_undirected(torch.tensor([[0, 1], [1, 2]]), num_nodes=30)
    graph = Graph.from_edge_index(links, 30)
    nodes = torch.tensor([0, 29])
    drawn = [hard_negatives(nodes, graph, graph, None, 20, ["ra"], seed=s) for s in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert int(drawn[0][0, 0]) == 2  # the only one with a common neighbour
    assert len(drawn[0][0].unique()) == 20
    assert not torch.isin(drawn[0][0], torch.tensor([0, 1])).any()
    assert set(drawn[0][1].tolist()) != set(drawn[0][0].tolist())


def test_too_few_candidates_are_taken_again_and_none_is_an_error():
    ring = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 0, 2]])
    graph = Graph.from_edge_index(to_undirected(ring, num_nodes=5), 5)
    found = hard_negatives(torch.tensor([0, 1]), graph, graph, None, 5, ["ra"])
    assert found[0].tolist() == [4] * 5
    assert found[1].tolist()[:2] == found[1].tolist()[2:4]
    assert set(found[1].tolist()) == {3, 4}
    star = to_undirected(torch.tensor([[0, 0], [1, 2]]), num_nodes=3)
    star = Graph.from_edge_index(star, 3)
    with pytest.raises(ValueError, match="node 0 is linked to all others"):
        hard_negatives(torch.tensor([1, 0]), star, star, None, 5, ["ra"])


def test_negatives_do_not_depend_on_blocks_or_on_the_order_of_nodes(monkeypatch):
    graph, _, x = toy_graph()
    before = x.clone()
    nodes = torch.tensor([5, 5, 59, 0, 31])
    whole = hard_negatives(nodes, graph, graph, x, OWN)
    assert torch.equal(whole[0], whole[1])
    assert torch.equal(x, before)
    monkeypatch.setattr(module, "MAX_ENTRIES", 2 * NODES)
    assert torch.equal(hard_negatives(nodes, graph, graph, x, OWN), whole)
    assert torch.equal(hard_negatives(nodes.flip(0), graph, graph, x, OWN), whole.flip(0))
    assert hard_negatives(nodes[:0], graph, graph, x, OWN).shape == (0, OWN)


PROTOCOL = HeartLinks(num_own=OWN)


def test_every_link_has_negatives_at_both_ends_and_none_is_a_link():
    dataset = toy()
    task = PROTOCOL(dataset, seed=3)
    check_links(task)
    num_links = dataset.data.edge_index.size(1) // 2
    sizes = [part.size(1) for part in (task.train_links, task.val.positives, task.test.positives)]
    num_test = int(0.1 * num_links)
    assert sizes == [num_links - num_test // 2 - num_test, num_test // 2, num_test]
    links = set(link_keys(dataset.data.edge_index, NODES).tolist())
    for part in (task.val, task.test):
        first, second = part.positives.unsqueeze(2)
        assert part.negatives.shape == (2, part.positives.size(1), 2 * OWN)
        assert part.negatives.dtype == torch.int64
        assert (part.negatives[0, :, :OWN] == first).all()
        assert (part.negatives[1, :, OWN:] == second).all()
        assert not set(link_keys(part.negatives, NODES).flatten().tolist()) & links
    assert task.metric == "mrr"
    assert task.test.edge_index is None


def test_negatives_of_the_test_know_validation_links_only_if_told():
    dataset = toy()
    without = PROTOCOL(dataset, seed=0)
    with_val = HeartLinks(num_own=OWN, val_edges_at_test=True)(dataset, seed=0)
    assert torch.equal(with_val.val.negatives, without.val.negatives)
    assert not torch.equal(with_val.test.negatives, without.test.negatives)
    assert with_val.test.edge_index.size(1) == 2 * (
        without.train_links.size(1) + without.val.positives.size(1)
    )


def test_the_split_is_fixed_unless_it_follows_the_seed():
    dataset = toy()
    state = torch.get_rng_state()
    assert len({PROTOCOL(dataset, seed).split_sha256 for seed in range(3)}) == 1
    by_seed = HeartLinks(num_own=OWN, split="by_seed")
    tasks = [by_seed(dataset, seed) for seed in range(3)]
    assert torch.equal(torch.get_rng_state(), state)
    assert len({task.split_sha256 for task in tasks}) == 3
    assert [task.split_number for task in tasks] == [0, 1, 2]
    assert tasks[0].split_sha256 == PROTOCOL(dataset, 9).split_sha256


def test_negatives_are_made_once_and_again_when_the_file_is_broken(root, monkeypatch, capsys):
    dataset = toy()
    first = PROTOCOL(dataset, seed=0)
    captured = capsys.readouterr()
    assert "making 14 hard negatives for each of 19 links of toy" in captured.err
    assert captured.out == ""
    (path,) = (root / "heart").iterdir()
    whole = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("gnnzoo.data.heart.hard_negatives", None)
        assert PROTOCOL(dataset, seed=1).split_sha256 == first.split_sha256
    for broken in (whole[: len(whole) // 2], b""):
        path.write_bytes(broken)
        assert PROTOCOL(dataset, seed=0).split_sha256 == first.split_sha256
        assert len(path.read_bytes()) == len(whole)


def test_other_settings_links_or_features_are_kept_apart(root):
    dataset = toy()
    for protocol in (
        PROTOCOL,
        HeartLinks(num_own=OWN + 1),
        HeartLinks(num_own=OWN, heuristics=["ra"]),
        HeartLinks(num_own=OWN, tolerance=1e-6),
        HeartLinks(num_own=OWN, split=1),
        HeartLinks(num_own=OWN, test=0.2),
    ):
        protocol(dataset, seed=0)
    dataset.data.x[0, 0] += 1
    PROTOCOL(dataset, seed=0)
    assert len(list((root / "heart").iterdir())) == 7


def test_a_published_split_keeps_its_positives():
    base = PROTOCOL(toy(), seed=0)
    parts = LinkParts(
        base.train_links.flip(0), base.test, LinkSplit(base.val.positives, torch.ones(2, 1))
    )
    dataset = toy(links={"official": lambda: parts})
    task = HeartLinks(num_own=OWN, links="official")(dataset, seed=5)
    assert torch.equal(task.val.positives, base.test.positives)
    assert task.test.negatives.shape == (2, base.val.positives.size(1), 2 * OWN)
    assert task.split_number == 0


def write_released(folder: Path, task) -> None:
    folder.mkdir(parents=True)
    parts = {"train": task.train_links, "valid": task.val.positives, "test": task.test.positives}
    for part, links in parts.items():
        lines = [f"{first}\t{second}\n" for first, second in links.t().tolist()]
        (folder / f"{part}_pos.txt").write_text("".join([*lines, "4\t4\n"]))
    for part, split in (("valid", task.val), ("test", task.test)):
        samples = split.negatives.permute(1, 2, 0).numpy()
        np.save(folder / f"heart_{part}_samples.npy", samples)


@pytest.fixture
def released(tmp_path, monkeypatch) -> Path:
    """A mirror with stand-ins of the published files."""
    monkeypatch.setenv("GNNZOO_MIRROR", str(tmp_path / "mirror"))
    folder = tmp_path / "mirror/HeaRT/toy"
    write_released(folder, PROTOCOL(toy(), seed=0))
    return folder


RELEASED = HeartLinks(mode="released", split="by_seed")


def test_released_negatives_are_taken_as_they_are(released):
    ours, theirs = PROTOCOL(toy(), seed=0), RELEASED(toy(), seed=4)
    assert theirs.split_sha256 == ours.split_sha256
    assert torch.equal(theirs.data.edge_index, ours.data.edge_index)
    assert theirs.split_number == 0


def test_without_the_released_files_it_is_said_where_they_would_be():
    with pytest.raises(MissingDataError) as caught:
        RELEASED(toy(), seed=0)
    assert re.search(
        r"not here: toy needs HeaRT/toy/train_pos.txt and 4 more .* protocol.mode=fixed",
        str(caught.value),
    )


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("heart_valid_samples.npy", np.array([None]), "is no plain array of numbers"),
        ("heart_test_samples.npy", np.zeros((3, 2)), r"must hold integers .* float64 of shape"),
        ("heart_test_samples.npy", np.zeros((3, 5, 2), dtype=int), r"test.negatives must be"),
        ("test_pos.txt", "1 2 3", "must hold two node numbers a line"),
        ("test_pos.txt", "", r"does not hold the links of toy: 126 links there, 139 here, 126"),
    ],
)
def test_files_that_do_not_fit_are_refused(file, content, message, released):
    if isinstance(content, str):
        (released / file).write_text(content)
    else:
        np.save(released / file, content, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        RELEASED(toy(), seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "new"}, "mode must be fixed or released, got 'new'"),
        ({"num_own": 0}, "num_own must be at least 1, got 0"),
        ({"tolerance": 0}, r"tolerance must be in \(0, 1\), got 0"),
        ({"heuristics": ["ra", "katz"]}, r"some of ra, ppr, cosine, got \['ra', 'katz'\]"),
        ({"heuristics": []}, r"got \[\]"),
        ({"heuristics": "ra"}, "got 'ra'"),
        ({"val": 0.2}, "val must be at most test, which is 0.1, got 0.2"),
        (
            {"links": "official"},
            "no split of links named 'official' .it has none.; protocol.links=",
        ),
        ({"split": "seed"}, "got 'seed'"),
    ],
)
def test_impossible_settings_say_what_is_wrong(settings, message):
    with pytest.raises(ValueError, match=message):
        HeartLinks(**settings)(toy(), seed=0)


def test_cosine_without_features_is_refused_and_the_others_work():
    dataset = toy(features=False)
    with pytest.raises(ValueError, match=r"features, which this data set has not; .*=\[ra,ppr\]"):
        PROTOCOL(dataset, seed=0)
    task = HeartLinks(num_own=OWN, heuristics=["ra", "ppr"])(dataset, seed=0)
    assert "x" not in task.data


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "sizes"), [("Cora", (263, 527)), ("CiteSeer", (227, 455))])
def test_citation_graphs_have_the_sizes_of_heart(name, sizes, real_mirror):
    task = HeartLinks()(planetoid(name), seed=0)
    assert task.val.negatives.shape == (2, sizes[0], 500)
    assert task.test.negatives.shape == (2, sizes[1], 500)
    assert len(task.test.negatives[1, 0, :250].unique()) == 250
