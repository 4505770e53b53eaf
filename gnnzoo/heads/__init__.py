"""Task heads: embeddings to predictions, loss and metrics."""

from gnnzoo.heads.graph import GraphHead
from gnnzoo.heads.link import LinkHead
from gnnzoo.heads.node import NodeHead

__all__ = ["GraphHead", "LinkHead", "NodeHead"]
