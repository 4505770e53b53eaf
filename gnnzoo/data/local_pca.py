"""The maps of a sheaf with given transports, computed once per message graph."""

from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from gnnzoo.ops import SparseFeatures, local_pca_maps


class LocalPCAMaps(BaseTransform):
    """Put the maps of `gnnzoo.ops.local_pca_maps` on the data as ``maps``.

    They lie in the order of ``edge_index``, one for each of its columns. Columns that repeat an
    edge have equal maps, so merging them loses nothing, and self-loops, which add nothing to a
    sheaf Laplacian, have the identity. Whatever reorders or removes edges afterwards has to do the
    same to ``maps``, as PyG's own transforms do for what has one row per edge.

    Args:
        dim: Stalk dimension.

    Raises:
        ValueError: If `dim` is below 1, or above the number of features per node.
    """

    reads_edges = True

    def __init__(self, dim: int) -> None:
        if dim < 1:
            raise ValueError(f"dim must be at least 1, got {dim}")
        self.dim = dim

    def forward(self, data: Data) -> Data:
        x = data.x.to_dense() if isinstance(data.x, SparseFeatures) else data.x
        data.maps = local_pca_maps(x, data.edge_index, self.dim)
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dim={self.dim})"
