"""One line of the journal: JSON that ends in its own checksum."""

import json
import re
import zlib
from typing import Any

_CHECKSUM = re.compile(rb',"crc":"([0-9a-f]{8})"\}\Z')


class DamagedLineError(ValueError):
    """A line is not what was written; the message says what is wrong with it."""


def encode_line(payload: dict[str, Any]) -> bytes:
    r"""Return `payload` as one ASCII line with `crc` as its last key and a final `\n`.

    The checksum is the CRC-32 of the same line without the `crc` key.

    Raises:
        ValueError: if `payload` is empty or holds a NaN or an infinity.
    """
    if not payload:
        raise ValueError("an empty object has no place for a checksum")
    body = json.dumps(payload, separators=(",", ":"), allow_nan=False).encode()
    return body[:-1] + f',"crc":"{zlib.crc32(body):08x}"}}\n'.encode()


def decode_line(line: bytes) -> dict[str, Any]:
    """Return the object of one line, given without its line end.

    Raises:
        DamagedLineError: if checksum or JSON are not intact.
    """
    found = _CHECKSUM.search(line)
    if found is None:
        raise DamagedLineError("the line does not end in a checksum")
    body = line[: found.start()] + b"}"
    if zlib.crc32(body) != int(found.group(1), 16):
        raise DamagedLineError("the checksum does not fit the line")
    payload = json.loads(body)
    if not isinstance(payload, dict):
        raise DamagedLineError("the line is not a JSON object")
    return payload
