"""Settings from the command line: NAME=VALUE put into a configuration of frozen dataclasses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace

from aios_core.errors import AiosError


class SettingError(AiosError):
    """There is no setting of this name, or the value is not of its kind."""


def with_settings(config, settings: Sequence[str]):
    """The configuration with settings changed, such as 'batch=4', 'weights.pose.face=0.2' or 'milestones=[20,40]'.

    Raises:
        SettingError: no such setting, or not a value of its kind.
    """
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise SettingError(f"'{setting}' is not a setting: write NAME=VALUE.")
        config = _with(config, name, name, value)
    return config


def _with(config, path: str, whole: str, text: str):
    name, _, rest = path.partition(".")
    known = [field.name for field in fields(config)]
    if name not in known:
        raise SettingError(f"There is no setting '{whole}': {type(config).__name__} has {', '.join(known)}.")
    old = getattr(config, name)
    if is_dataclass(old):
        if not rest:
            raise SettingError(f"'{whole}' has settings of its own: {', '.join(f.name for f in fields(old))}.")
        return replace(config, **{name: _with(old, rest, whole, text)})
    if rest:
        raise SettingError(f"'{name}' in '{whole}' has no settings of its own.")
    return replace(config, **{name: _value(old, whole, text)})


def _value(old: object, name: str, text: str) -> object:
    """The text as a value of the old one's kind: JSON, or the text itself where texts are wanted."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(old, str) or old is None:
        return None if value is None else text
    if isinstance(old, float) and type(value) is int:
        value = float(value)
    if isinstance(old, tuple) and isinstance(value, list):
        value = tuple(tuple(entry) if isinstance(entry, list) else entry for entry in value)
    if type(value) is not type(old):
        raise SettingError(f"'{name}' is {json.dumps(old)} by default: '{text}' is no value of this kind.")
    return value
