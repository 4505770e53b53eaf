"""Reading raw files through PyG's own data set classes, without their folder of processed files.

Parsing takes a second at most for the sets loaded this way. So there is no cache that a kill
could leave half-written, and nothing that two processes could write at once.
"""

from pathlib import Path
from typing import Any

from torch_geometric.data import Data


def parse_raw(class_name: str, folder: Path, **settings: Any) -> Data:
    """What the ``process`` method of a PyG class makes of the raw files in ``folder``.

    Args:
        class_name: One of ``torch_geometric.datasets`` whose ``process`` saves a list of one graph.
        folder: Where its raw files lie.
        settings: Attributes that its constructor would set and ``process`` reads.
    """
    from torch_geometric import datasets  # takes half a second, which most runs need not wait for

    parsed: list[Data] = []

    class Raw(getattr(datasets, class_name)):  # type: ignore[misc, valid-type]
        raw_dir = processed_dir = str(folder)

        def __init__(self) -> None:  # not PyG's, which would look for files to download or load
            vars(self).update(settings, pre_transform=None, pre_filter=None)

        def save(self, data_list: list[Data], path: str) -> None:  # keep, and write nothing
            parsed.extend(data_list)

    Raw().process()
    (data,) = parsed
    return data
