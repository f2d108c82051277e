"""Serialized messages -> objects with their fields; damaged ones are refused."""

from __future__ import annotations

from typing import Any

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinitionFormat, Nodetype
from rosbags.interfaces.typing import Typesdict
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from regseg_core.bag.errors import MessageError

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"

#: What images are made of. It is read as ROS defines it, as the names of its fields are relied on.
_PARTS_OF_IMAGES = (IMAGE, COMPRESSED_IMAGE, "std_msgs/msg/Header", "builtin_interfaces/msg/Time")

#: Longer than any definition with all that it refers to.
_MOST_CHARACTERS = 1 << 20

#: So much of what is wrong with one is told.
_MOST_SHOWN = 200

#: rosbags makes a line of code for each element of an array of strings or messages.
_MOST_ELEMENTS = 4096

#: What rosbags raises for definitions and bytes that make no sense.
_NONSENSE = (
    SerdeError,
    TypesysError,
    LookupError,
    ValueError,
    TypeError,
    AssertionError,
    RecursionError,
    SyntaxError,
)


#: Of a type that nobody can hash: bags have to say some hash.
_UNHASHED = "RIHS01_" + 64 * "0"


class Deserializer:
    """Knows the standard types of ROS 2, and learns those that a bag defines."""

    def __init__(self) -> None:
        self._standard = get_typestore(Stores.LATEST)
        self._stores: dict[tuple[str, str], Typestore | str] = {}

    def __call__(self, connection: Connection, data: bytes) -> Any:
        """An object with the fields of the type; its arrays are views of the data.

        Raises MessageError, which says why, for bytes that are no whole message of that type.
        """
        if isinstance(connection.ext, ConnectionExtRosbag2):
            encoding = connection.ext.serialization_format
            if encoding != "cdr":
                raise MessageError(f"it is encoded as {encoding!a}, not as cdr")
        store = self._store(connection)
        try:
            return store.deserialize_cdr(data, connection.msgtype)
        except KeyError as error:
            raise MessageError(f"no definition of {error} is known") from error
        except _NONSENSE as error:
            raise MessageError(f"it is no whole {connection.msgtype}: {error}") from error

    def _store(self, connection: Connection) -> Typestore:
        key = (connection.msgtype, connection.msgdef.data)
        if key not in self._stores:
            try:
                self._stores[key] = self._types(connection)
            except _NONSENSE as error:
                reason = str(error)[:_MOST_SHOWN]  # which quotes all of the definition
                self._stores[key] = f"the bag's definition of it cannot be used: {reason}"
        store = self._stores[key]
        if isinstance(store, str):
            raise MessageError(store)
        return store

    def _types(self, connection: Connection) -> Typestore:
        """What a message is read with. Raises what `_NONSENSE` lists."""
        types = _defined(connection)
        if connection.msgtype in (IMAGE, COMPRESSED_IMAGE):
            for name in _PARTS_OF_IMAGES:
                if name in types and types[name][1] != self._standard.fielddefs[name][1]:
                    raise TypesysError(f"ROS defines {name} otherwise")
            return self._standard
        if not types:
            return self._standard
        store = get_typestore(Stores.EMPTY)
        # rosbags makes Python of it; the grammar of MSG lets nothing but names and values through.
        store.register(types)
        return store


def digest_of(connection: Connection) -> str:
    """The hash of a type by the bag's definition, or by an empty one where it has none.

    rosbags' AnyReader refuses a bag in which hash and definition do not fit.
    """
    try:
        if connection.msgdef.format == MessageDefinitionFormat.IDL:
            return _UNHASHED
        store = get_typestore(Stores.EMPTY)
        store.register(_defined(connection) or get_types_from_msg("", connection.msgtype))
        return store.hash_rihs01(connection.msgtype)
    except _NONSENSE:
        return _UNHASHED


def _defined(connection: Connection) -> Typesdict:
    """The types that the bag defines for a message; none where it does not.

    IDL is left alone: in its constants one can compute what takes all memory.
    """
    definition = connection.msgdef
    if definition.format != MessageDefinitionFormat.MSG or not definition.data.strip():
        return {}
    if len(definition.data) > _MOST_CHARACTERS:
        raise TypesysError(f"it has {len(definition.data)} characters")
    types = get_types_from_msg(definition.data, connection.msgtype)
    elements = 0
    for _, fields in types.values():
        for _, description in fields:
            if description[0] == Nodetype.ARRAY:
                element, length = description[1]
                if element[0] == Nodetype.NAME or element[1][0] == "string":
                    elements += length
    if elements > _MOST_ELEMENTS:
        raise TypesysError(f"it has arrays of {elements} strings or messages")
    return types
