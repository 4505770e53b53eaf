"""HeaRT: every link stands against negatives of its own that are hard to tell from links."""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils import to_undirected

from gnnzoo.data.dataset import GraphDataset
from gnnzoo.data.hard_negatives import HEURISTICS, hard_negatives
from gnnzoo.data.heart_files import released_parts
from gnnzoo.data.link_protocol import link_task
from gnnzoo.data.link_splits import draw_parts, generator_seed, undirected_links
from gnnzoo.data.links import LinkParts, LinkSplit, LinkTask, links_sha256
from gnnzoo.data.mirrors import dataset_lock
from gnnzoo.data.npz import GraphFileError, read_arrays
from gnnzoo.files import write_atomically
from gnnzoo.ops import Graph
from gnnzoo.paths import data_root

MODES = ("fixed", "released")
VERSION = 1  # of what hard_negatives makes of its arguments; kept negatives of another are left


@dataclass(frozen=True)
class HeartLinks:
    """Hard negatives for each link: 250 with its first node and 250 with its second.

    Paper: "Evaluating Graph Neural Networks for Link Prediction: Current Pitfalls and New
    Benchmarking" (Li et al., NeurIPS 2023 Datasets and Benchmarks),
    https://arxiv.org/abs/2306.10453
    Differs from the released generator with ``mode="fixed"``: a score of zero never ranks (there,
    the heuristic with the fewest scores ranks all others alike); features are not overwritten by
    ranks; scores keep the order of their pairs; links of any part are excluded, so that no link
    counts as a negative. Scores are therefore not comparable with those on the released files.

    The split is 85 / 5 / 10 % of the links, drawn as by `RandomLinks`, or a published one.

    Args:
        mode: "fixed" makes the negatives here and keeps them in the data root; "released" reads the
            split and the negatives that the authors published, where a mirror has them.
        val: Share of the links to validate on, at most ``test``.
        test: Share of the links to test on.
        links: A published split of the data set to take instead, such as "official".
        num_own: Negatives per link and end.
        heuristics: Of "ra", "ppr" and "cosine"; see `gnnzoo.data.hard_negatives`.
        tolerance: Largest error of a PageRank vector.
        val_edges_at_test: Whether the test, and the heuristics of its negatives, use validation
            links as messages.
        split: "fixed" (generator seed 0), "by_seed" (the run's seed) or a generator seed.
        metric: Metric to select on.

    Raises:
        ValueError: If a setting is out of range, or the published files do not fit the data set.
        MissingDataError: If the published files are in no mirror.
    """

    mode: str = "fixed"
    val: float = 0.05
    test: float = 0.1
    links: str | None = None
    num_own: int = 250
    heuristics: Sequence[str] = HEURISTICS
    tolerance: float = 1e-7
    val_edges_at_test: bool = False
    split: str | int = "fixed"
    metric: str = "mrr"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode must be {' or '.join(MODES)}, got {self.mode!r}")
        if self.num_own < 1:
            raise ValueError(f"num_own must be at least 1, got {self.num_own}")
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance must be in (0, 1), got {self.tolerance}")

    def __call__(self, dataset: GraphDataset, seed: int) -> LinkTask:
        """Split ``dataset``; the run's ``seed`` counts with ``split="by_seed"`` only."""
        published = self.mode == "released" or self.links is not None
        number = 0 if published else generator_seed(self.split, seed)
        if self.mode == "released":
            parts = released_parts(dataset)
        else:
            parts = self._with_negatives(dataset, self._positives(dataset, number), number)
        return link_task(dataset, parts, number, self.metric, self.val_edges_at_test, published)

    def _positives(self, dataset: GraphDataset, number: int) -> LinkParts:
        """A split whose negatives are yet to be made."""
        if self.links is not None:
            if self.links not in dataset.links:
                known = ", ".join(dataset.links) or "none"
                raise ValueError(
                    f"{dataset.name} has no split of links named {self.links!r} (it has {known}); "
                    "protocol.links=null draws one"
                )
            return dataset.links[self.links]()
        generator = torch.Generator().manual_seed(number)
        train, val, test, _ = draw_parts(undirected_links(dataset), self.val, self.test, generator)
        nothing = val.new_empty(2, 0)
        return LinkParts(train, LinkSplit(val, nothing), LinkSplit(test, nothing))

    def _with_negatives(self, dataset: GraphDataset, parts: LinkParts, number: int) -> LinkParts:
        settings = [list(self.heuristics), self.tolerance, self.num_own, self.val_edges_at_test]
        key = _key(dataset, parts, [VERSION, number, *settings])
        path = data_root() / "heart" / f"{dataset.name}-{key[:20]}.npz"
        with dataset_lock(f"heart-{dataset.name}"):
            kept = _read(path)
            if kept is None:
                val, test = self._make(dataset, parts, number)
                kept = {"val": val, "test": test}
                write_atomically(path, lambda temporary: _write(temporary, kept))
        made = {
            part: LinkSplit(getattr(parts, part).positives, kept[part].long())
            for part in ("val", "test")
        }
        return replace(parts, **made)

    def _make(self, dataset: GraphDataset, parts: LinkParts, number: int) -> tuple[Tensor, Tensor]:
        """Negatives of validation and of test, ``[2, num_positives, 2 * num_own]`` each."""
        num_nodes = dataset.data.num_nodes
        val, test = parts.val.positives, parts.test.positives
        print(
            f"making {2 * self.num_own} hard negatives for each of {val.size(1) + test.size(1):,} "
            f"links of {dataset.name}, once",
            file=sys.stderr,
        )
        known = _graph(torch.cat([parts.train, val, test], dim=1), num_nodes)
        seen = {"val": parts.train, "test": parts.train}
        if self.val_edges_at_test:
            seen["test"] = torch.cat([parts.train, val], dim=1)
        made = []
        for part, positives in (("val", val), ("test", test)):
            messages = _graph(seen[part], num_nodes)
            nodes, place = positives.unique(return_inverse=True)  # place: [2, num_positives]
            others = hard_negatives(
                nodes, known, messages, dataset.data.x, self.num_own, self.heuristics,
                self.tolerance, number,
            )  # fmt: skip
            made.append(_corrupted(positives, others[place]))
        return made[0], made[1]


def _corrupted(positives: Tensor, others: Tensor) -> Tensor:
    """Each link with its second node replaced, then with its first.

    Shapes:
        positives: ``[2, num_positives]``, int64.
        others: ``[2, num_positives, num_own]``, int64: in place of the other end.
        returns: ``[2, num_positives, 2 * num_own]``, int64.
    """
    kept = positives.unsqueeze(2).expand_as(others)
    return torch.stack(
        [torch.cat([kept[0], others[1]], dim=1), torch.cat([others[0], kept[1]], dim=1)]
    )


def _graph(links: Tensor, num_nodes: int) -> Graph:
    return Graph.from_edge_index(to_undirected(links, num_nodes=num_nodes), num_nodes)


def _key(dataset: GraphDataset, parts: LinkParts, settings: list[object]) -> str:
    """Checksum of everything that the negatives depend on."""
    num_nodes = dataset.data.num_nodes
    nothing = parts.train.new_empty(2, 0)
    positives = [LinkSplit(split.positives, nothing) for split in (parts.val, parts.test)]
    digest = hashlib.sha256(links_sha256(num_nodes, parts.train, *positives).encode())
    if dataset.data.x is not None:
        digest.update(np.ascontiguousarray(dataset.data.x.numpy()))
    digest.update(json.dumps(settings).encode())
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Tensor] | None:
    """Kept negatives, or None where there are none that can be read."""
    if not path.is_file():
        return None
    try:
        arrays = read_arrays(path, {"val", "test"})
    except GraphFileError:
        return None
    return {part: torch.from_numpy(array) for part, array in arrays.items()}


def _write(path: Path, made: dict[str, Tensor]) -> None:
    with path.open("wb") as stream:  # given a name, NumPy would add to it
        np.savez_compressed(stream, **{part: pairs.int().numpy() for part, pairs in made.items()})
