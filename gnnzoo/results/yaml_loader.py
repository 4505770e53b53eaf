"""YAML as people write it, but with every key once."""

from typing import Any

import yaml


class UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, of which PyYAML would keep the last."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._checked: set[int] = set()

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        # Only once: afterwards the node holds what it merged, too, for those that refer to it.
        if id(node) not in self._checked:
            self._checked.add(id(node))
            keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
            if twice := [key for key in keys if keys.count(key) > 1]:
                raise ValueError(f"the key {twice[0]!r} stands twice in one mapping")
        return super().construct_mapping(node, deep)
