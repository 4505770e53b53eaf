"""Mini-batches of a large graph: some training nodes and a sample of what they hear from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from gnnzoo.ops import SparseFeatures, backends, sample_rows, take_rows
from gnnzoo.ops.csr import CSR


@dataclass(frozen=True)
class NeighborBatches:
    """How a head cuts a graph into mini-batches; PyG's ``NeighborLoader`` names the settings.

    An epoch goes through all training nodes in random order, in batches of nearly equal size. The
    subgraph of a batch begins with its training nodes; hop by hop every node that came in adds up
    to `num_neighbors` of its in-neighbours, drawn without replacement, and the edges drawn. Random
    numbers come from torch's global generator.

    Where pyg-lib is installed the sampler behind PyG's ``NeighborLoader`` draws (back-end
    ``pyg_lib`` of the operation ``sample``), otherwise ours. The former is tested against a
    stand-in only.

    Args:
        num_neighbors: Most neighbours per node, for each hop; -1 for all. One number per layer of
            the encoder lets every layer see its neighbours; one more gives the outermost nodes
            degrees, which the normalisation of GCN and GCNII reads.
        batch_size: Most training nodes per batch.
        memory_mib: Working memory in MiB of validation and test, which see the whole graph and run
            layer by layer, see `gnnzoo.models.encode_layerwise`.

    Raises:
        ValueError: If a setting is out of range.
    """

    num_neighbors: Iterable[int] = (10, 10)
    batch_size: int = 512
    memory_mib: float = 1024

    def __post_init__(self) -> None:
        hops = self.num_neighbors
        if isinstance(hops, int | str) or not list(hops) or not all(map(_is_fan_out, hops)):
            raise ValueError(
                f"num_neighbors must list a whole number from 1, or -1 for all, for each hop, "
                f"got {hops!r}"
            )
        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise ValueError(f"batch_size must be a whole number from 1, got {self.batch_size!r}")
        if not self.memory_mib > 0:
            raise ValueError(f"memory_mib must be positive, got {self.memory_mib!r}")

    def epoch(self, sampler: "SubgraphSampler", nodes: Tensor) -> Iterator[tuple[Data, Tensor]]:
        """Subgraphs that together begin with all of `nodes`, each with those it begins with."""
        order = nodes[torch.randperm(nodes.numel(), device=nodes.device)]
        for seeds in order.tensor_split(max(-(-nodes.numel() // self.batch_size), 1)):
            yield sampler.subgraph(seeds), seeds


def _is_fan_out(number: Any) -> bool:
    return isinstance(number, int) and (number >= 1 or number == -1)


class SubgraphSampler:
    """Draws subgraphs around nodes, with the fields that an encoder reads and no labels.

    Args:
        data: The whole graph. Of its fields those with a row per node or edge go along, but ``y``
            and the masks: nobody but the head hands out labels.
        num_neighbors: As in `NeighborBatches`.
        transforms: Those of the model. What they made of edges is made anew on every subgraph,
            unless they say ``rows_hold_in_samples``: then it goes along like features.
    """

    def __init__(
        self, data: Data, num_neighbors: Iterable[int], transforms: Iterable[BaseTransform] = ()
    ) -> None:
        self.transforms = [t for t in transforms if _made_anew(t)]
        fields = {key: value for key, value in data if _goes_along(key)}
        self.of_nodes = {
            key: value
            for key, value in fields.items()
            if isinstance(value, SparseFeatures) or data.is_node_attr(key)
        }
        self.of_edges = {key: value for key, value in fields.items() if data.is_edge_attr(key)}
        name = backends.choose("sample", data.edge_index.device)
        draw = _PyGLib if name == "pyg_lib" else _Torch
        self.draw = draw(data.edge_index, data.num_nodes, list(num_neighbors))

    def subgraph(self, seeds: Tensor) -> Data:
        """A sample around `seeds`, which are its first nodes, in their order.

        Shapes:
            seeds: ``[num_seeds]``, int64, different.
        """
        nodes, edges, edge_index = self.draw(seeds)
        part = Data(edge_index=edge_index, num_nodes=nodes.numel())
        for key, value in self.of_nodes.items():
            part[key] = take_rows(value, nodes)
        for key, value in self.of_edges.items():
            part[key] = value.index_select(0, edges)
        for transform in self.transforms:
            part = transform(part)
        return part


def _made_anew(transform: BaseTransform) -> bool:
    holds = getattr(transform, "rows_hold_in_samples", False)
    return getattr(transform, "reads_edges", True) and not holds


def _goes_along(key: str) -> bool:
    return key not in ("y", "edge_index", "num_nodes") and not key.endswith("_mask")


class _Torch:
    """Our sampler: a few operations per hop, none of them over all nodes or edges.

    Edges are sorted by target once. Nodes get their place in the subgraph from a table of all
    nodes that is kept and cleaned up after every sample.
    """

    def __init__(self, edge_index: Tensor, num_nodes: int, num_neighbors: list[int]) -> None:
        target, order = edge_index[1].sort(stable=True)
        # Not a pattern without repetition, as a `Graph` has: every edge given can be drawn.
        self.rows = CSR.from_sorted(target, edge_index[0, order], num_nodes, num_nodes)
        self.order = order.to(self.rows.col.dtype)
        self.place = torch.full((num_nodes,), -1, device=edge_index.device)
        self.num_neighbors = num_neighbors

    def __call__(self, seeds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Nodes, edges, and the edges as an ``edge_index`` of places among the nodes."""
        nodes, edges, sources, targets = [seeds], [seeds[:0]], [seeds[:0]], [seeds[:0]]
        size = seeds.numel()
        self.place[seeds] = torch.arange(size, device=seeds.device)
        for most in self.num_neighbors:
            frontier = nodes[-1]
            entries, owner = sample_rows(self.rows.rowptr, frontier, most)
            source = self.rows.col[entries].long()
            new = source[self.place[source] < 0].unique()
            self.place[new] = torch.arange(size, size + new.numel(), device=new.device)
            size += new.numel()
            nodes.append(new)
            edges.append(self.order[entries].long())
            sources.append(source)
            targets.append(frontier[owner])
        chosen = torch.cat(nodes)
        edge_index = self.place[torch.stack([torch.cat(sources), torch.cat(targets)])]
        self.place[chosen] = -1
        return chosen, torch.cat(edges), edge_index


class _PyGLib:
    """The sampler of PyG's ``NeighborLoader``, which runs in pyg-lib."""

    def __init__(self, edge_index: Tensor, num_nodes: int, num_neighbors: list[int]) -> None:
        from torch_geometric.sampler import NeighborSampler

        graph = Data(edge_index=edge_index, num_nodes=num_nodes)
        self.sampler = NeighborSampler(graph, num_neighbors)

    def __call__(self, seeds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        from torch_geometric.sampler import NodeSamplerInput

        drawn = self.sampler.sample_from_nodes(NodeSamplerInput(input_id=None, node=seeds))
        order = self.sampler.edge_permutation
        edges = drawn.edge if order is None else order[drawn.edge]
        return drawn.node, edges, torch.stack([drawn.row, drawn.col])
