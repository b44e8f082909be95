"""YAML that a person wrote: plain values only, each key once, nothing that unfolds without end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

MAX_NODES = 100_000
"""Values of a file, those that an alias repeats counted each time."""


def parse_yaml(text: str) -> Any:
    """The value of a YAML text: mappings, lists, texts, numbers, dates.

    Raises:
        ValueError: and nothing else: if it is no YAML, a key is there twice, it names a Python
            object, is nested too deeply, or has more than `MAX_NODES` values, aliases unfolded.
    """
    try:
        return yaml.load(text, _Loader)  # nosec B506 # it is a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:  # an impossible date, a number of too many digits
        raise
    except Exception as error:  # values of tags that make no sense, like !!timestamp x
        raise ValueError(f"{type(error).__name__}: {error}") from None


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which looks at the whole before it makes anything of it."""

    def get_single_data(self) -> Any:
        node = self.get_single_node()
        if node is None:
            return None
        if _count(node, {}) > MAX_NODES:
            raise ValueError(f"its aliases stand for more than {MAX_NODES:,} values")
        return self.construct_document(node)


def _count(node: yaml.Node, counts: dict[int, int]) -> int:
    """Values below a node, those of aliases each time that they stand somewhere."""
    known = counts.get(id(node))
    if known == 0:
        raise ValueError(f"line {node.start_mark.line + 1}: an alias is inside of what it names")
    if known is None:
        counts[id(node)] = 0
        counts[id(node)] = known = 1 + sum(_count(child, counts) for child in _children(node))
    return known


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise ValueError(f"line {line}: key {key.value!r} is there twice")
                seen.add(key.value)
            yield key
            yield value
