"""A run's configuration on its way to the steps, with the user's functions and classes in it.

In the process that built the pipeline every step gets the very object: unpickling a class of the main script there
would set the attributes of the user's own class again, to copies. Another process unpickles it once, for all its steps.
"""

from __future__ import annotations

import dataclasses
import io
import threading
import uuid
from dataclasses import dataclass, field, fields
from typing import Any
from weakref import WeakValueDictionary

from apache_beam.internal.cloudpickle import cloudpickle
from apache_beam.internal.cloudpickle_pickler import DEFAULT_CONFIG
from pydantic import BaseModel
from pydantic_core import SchemaSerializer, SchemaValidator

from beam_llmdag.beam.config import RunConfig

__all__ = ["packed", "to_travel", "unpacked"]

_BUILT = ("__pydantic_validator__", "__pydantic_serializer__")


def to_travel(config: RunConfig) -> RunConfig:
    """`config`, so that it is itself in this process and a copy in others.

    Raises:
        Exception: something in it cannot be pickled.
    """
    return _known(config, packed(config))


@dataclass(frozen=True, kw_only=True)
class _Luggage(RunConfig):
    """A configuration that is pickled as its name, and as bytes for those to whom the name says nothing."""

    name: str
    packed: bytes = field(repr=False)

    def __reduce__(self) -> Any:
        return _arrived, (self.name, self.packed)


_here: WeakValueDictionary[str, RunConfig] = WeakValueDictionary()
_lock = threading.RLock()


def _known(config: RunConfig, content: bytes) -> RunConfig:
    return _named(config, uuid.uuid4().hex, content)


def _named(config: RunConfig, name: str, content: bytes) -> RunConfig:
    values = {part.name: getattr(config, part.name) for part in fields(RunConfig)}
    luggage = _here[name] = _Luggage(**values, name=name, packed=content)
    return luggage


def _arrived(name: str, content: bytes) -> RunConfig:
    with _lock:
        found = _here.get(name)
        if found is None:
            found = _named(unpacked(content), name, content)
        return found


def packed(value: Any) -> bytes:
    """`value` pickled, functions and classes of the main script and of functions by value.

    Raises:
        Exception: something in it cannot be pickled.
    """
    with io.BytesIO() as file:
        pickler = _Pickler(file, config=DEFAULT_CONFIG)
        pickler.dump(_Parcel(value, pickler.classes))
        return file.getvalue()


def unpacked(content: bytes) -> Any:
    """What was packed."""
    parcel = cloudpickle.loads(content)
    for copied in parcel.classes:
        for name in _BUILT:
            part = copied.__dict__.get(name)
            if isinstance(part, _Unbuilt):
                setattr(copied, name, part.kind(*part.arguments))
    return parcel.value


@dataclass(slots=True)
class _Parcel:
    """A value and the classes that are in it by value; those come last, so that all are known when they are written."""

    value: Any
    classes: list[type]


@dataclass(slots=True)
class _Unbuilt:
    """Stands for a validator or serializer of pydantic while its class is pickled.

    It is built from a schema, which may lead back to its class and so be half read at that time.
    """

    kind: type[SchemaValidator] | type[SchemaSerializer]
    arguments: tuple[Any, ...]


class _Pickler(cloudpickle.CloudPickler):
    """Beam's pickler of functions and classes, for classes that do not survive it."""

    def __init__(self, file: io.BytesIO, config: Any) -> None:
        super().__init__(file, config=config)
        self.classes: list[type] = []
        self.dispatch_table[type(threading.Lock())] = lambda _: (threading.Lock, ())  # as Beam does
        self.dispatch_table[type(threading.RLock())] = lambda _: (threading.RLock, ())
        # compared by identity, and pickled as an object like any other
        self.dispatch_table[type(dataclasses.MISSING)] = lambda _: "MISSING"

    def reducer_override(self, obj: Any) -> Any:
        reduced = super().reducer_override(obj)
        if isinstance(obj, type) and isinstance(reduced, tuple) and len(reduced) == 6:  # a class by value
            attributes = reduced[2][0]
            self.classes.append(obj)
            for name in _BUILT:
                part = attributes.get(name)
                if isinstance(part, (SchemaValidator, SchemaSerializer)):
                    reduced_part: Any = part.__reduce__()
                    attributes[name] = _Unbuilt(*reduced_part)
            if issubclass(obj, BaseModel) and obj.__pydantic_complete__:
                # local variables around the class, which pydantic keeps for names in annotations: a client, say
                attributes["__pydantic_parent_namespace__"] = None
        return reduced
