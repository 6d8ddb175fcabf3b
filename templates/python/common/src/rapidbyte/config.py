"""Holds a config against its JSON Schema and fills in the defaults. It knows the words that `config.schema.json` may use:
`type properties required additionalProperties items enum default minimum maximum minLength minItems`.
"""

import json
import re

from .errors import ConnectorError, config_error

# Deeper than any config, and far from where Python's own reader runs out of stack.
_DEPTH_MAX = 100
_TEXTS_AND_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')

_TYPES = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}


class Config:
    """A checked config: its keys are attributes, absent ones without a default are None."""

    def __init__(self, values):
        self.__dict__.update(values)


def parse(text, schema):
    """The config in a JSON text; a `config` error names the key that is wrong."""
    if _depth(text) > _DEPTH_MAX:
        raise ConnectorError("config", "config_invalid", "the config is nested too deeply")
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConnectorError("config", "config_invalid", f"the config is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ConnectorError("config", "config_invalid", "the config must be an object")
    _check(value, schema, "")
    values = {key: shape.get("default") for key, shape in schema.get("properties", {}).items()}
    return Config({**values, **value})


def _depth(text):
    depth = deepest = 0
    for token in _TEXTS_AND_BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        deepest = max(deepest, depth)
    return deepest


def _check(value, schema, key):
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(_TYPES[kind](value) for kind in types):
        raise config_error(key, f"must be of type {' or '.join(types)}")
    if "enum" in schema and value not in schema["enum"]:
        raise config_error(key, f"must be one of {', '.join(map(str, schema['enum']))}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value < schema.get("minimum", value):
            raise config_error(key, f"must be at least {schema['minimum']}")
        if value > schema.get("maximum", value):
            raise config_error(key, f"must be at most {schema['maximum']}")
    if isinstance(value, str) and len(value) < schema.get("minLength", 0):
        raise config_error(key, "must not be empty")
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            raise config_error(key, f"must have at least {schema['minItems']} item(s)")
        for index, item in enumerate(value):
            _check(item, schema.get("items", {}), f"{key}[{index}]")
    if isinstance(value, dict):
        inside = lambda name: f"{key}.{name}" if key else name
        properties = schema.get("properties", {})
        for name in schema.get("required", []):
            if name not in value:
                raise config_error(inside(name), "is missing")
        for name, item in value.items():
            if name in properties:
                _check(item, properties[name], inside(name))
            elif schema.get("additionalProperties", True) is False:
                raise config_error(inside(name), "is no key of this connector")
