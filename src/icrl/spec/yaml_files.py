"""YAML 1.2, read strictly: whatever PyYAML would let pass or report in its own way becomes a `SpecError`.

PyYAML follows YAML 1.1, which takes `010` for 8, `1:30` for 90, `off` for false and `1e-4` for a string. Here plain
scalars are what the core schema of YAML 1.2 says, and keys are names: the text as it is written.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

from icrl.errors import Problem, SpecError, did_you_mean

MAX_KEYS = 10_000
"""Of one mapping; a few lines of merged aliases could ask for more than the memory holds."""


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises SpecError if the file is missing, unreadable, not valid YAML, empty or no mapping, or repeats keys.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([_unreadable(path, error)]) from error
    data = load_yaml(text, where=str(path), expected="a mapping")
    if not isinstance(data, dict):
        raise SpecError.of(str(path), got=data, expected="a mapping")
    return data


def _unreadable(path: Path, error: OSError | UnicodeDecodeError) -> Problem:
    advice = ""
    match error:
        case FileNotFoundError():
            got = "no such file"
            advice = did_you_mean(path.name, [neighbour.name for neighbour in path.parent.glob("[!.]*.yaml")])
        case IsADirectoryError():
            got = "a directory"
        case UnicodeDecodeError():
            got = "a binary file"
        case _:
            got = f"a file that cannot be read ({error.strerror})"
    return Problem(str(path), got, "a YAML file", advice)


def load_yaml(text: str, where: str, expected: str) -> Any:
    """The value that YAML `text` holds; `where` it comes from and what was `expected` are for the messages.

    Raises SpecError if `text` is not valid YAML, is empty, or repeats keys.
    """
    try:
        loader = _Loader(text, where)
        node = loader.get_single_node()
        loader.deep_construct = True  # so that what contains itself is a mistake
        value = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = f" on line {error.problem_mark.line + 1}" if error.problem_mark else ""
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise SpecError([Problem(where, f"a mistake{line} ({reason})", "valid YAML")]) from error
    except (yaml.YAMLError, ValueError) as error:  # a control character; `!!int many`
        reason = str(error).splitlines()[0]
        raise SpecError([Problem(where, f"a mistake ({reason})", "valid YAML")]) from error
    except RecursionError as error:
        raise SpecError([Problem(where, "a mistake (nested too deeply)", "valid YAML")]) from error
    if node is None:
        raise SpecError([Problem(where, "nothing", expected)])
    if loader.problems:
        raise SpecError(loader.problems)
    return value


def dump_yaml(data: Any) -> str:
    """The YAML from which `load_yaml` makes equal data."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False)


TAG = "tag:yaml.org,2002:"
MERGE = TAG + "merge"
CORE_SCHEMA = {
    "null": r"null|Null|NULL|~|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
"""How plain scalars that are not strings are spelt: section 10.3.2 of YAML 1.2.2."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also notes repeated keys: PyYAML alone would silently keep the last."""

    def __init__(self, text: str, where: str) -> None:
        super().__init__(text)
        self.where = where
        self.problems: list[Problem] = []

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Replaces `<<` by what it merges, unless that is more than any spec holds.

        A mapping's own keys come before merged ones, and an earlier mapping's before a later one's
        (https://yaml.org/type/merge.html; PyYAML 6.0.4 lets the later one win).
        """
        own = [pair for pair in node.value if pair[0].tag != MERGE]
        sources = [value for key, value in node.value if key.tag == MERGE]
        node.value = own
        merged: list[tuple[yaml.Node, yaml.Node]] = []
        for source in sources:
            for mapping in reversed(source.value if isinstance(source, yaml.SequenceNode) else [source]):
                if not isinstance(mapping, yaml.MappingNode):
                    problem = f"expected a mapping to merge, but found a {mapping.id}"
                    raise yaml.constructor.ConstructorError(None, None, problem, mapping.start_mark)
                self.flatten_mapping(mapping)
                merged += mapping.value
                if len(merged) > MAX_KEYS:
                    raise yaml.constructor.ConstructorError(None, None, "more keys than any spec has", node.start_mark)
        node.value = merged + own  # the last one of a key is the one that counts

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """The next mapping in the text, as PyYAML represents it."""
        node = super().compose_mapping_node(anchor)
        lines = defaultdict(list)
        for index, (key, value) in enumerate(node.value):
            if isinstance(key, yaml.ScalarNode):
                lines[key.value].append(str(key.start_mark.line + 1))
                if key.tag.removeprefix(TAG) in CORE_SCHEMA:
                    name = yaml.ScalarNode(TAG + "str", key.value, key.start_mark, key.end_mark)
                    node.value[index] = name, value
        for name, repeats in lines.items():
            if len(repeats) > 1:
                got = f"'{name}' on lines {' and '.join(repeats)}"
                self.problems.append(Problem(self.where, got, "each key once"))
        return node


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which also quotes strings that YAML 1.2 would take for something else."""


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    return float(re.sub(r"\.(inf|nan)", r"\1", loader.construct_scalar(node).lower()))


_Loader.add_constructor(TAG + "int", _int)
_Loader.add_constructor(TAG + "float", _float)
_Loader.yaml_implicit_resolvers = {}  # none of YAML 1.1's
_Loader.add_implicit_resolver(MERGE, re.compile("<<$"), ["<"])
for _name, _spelling in CORE_SCHEMA.items():
    _Loader.add_implicit_resolver(TAG + _name, re.compile(f"({_spelling})$"), None)
    _Dumper.add_implicit_resolver(TAG + _name, re.compile(f"({_spelling})$"), None)
