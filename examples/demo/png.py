"""Just enough PNG to make and compare pictures without a library: 8-bit RGB, not interlaced."""

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BYTES_PER_PIXEL = 3


def encode(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG of `pixels`, row by row, three bytes each."""
    stride = width * BYTES_PER_PIXEL
    rows = b"".join(b"\0" + pixels[top : top + stride] for top in range(0, height * stride, stride))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def decode(data: bytes) -> tuple[int, int, bytes]:
    """(width, height, pixels). Raises ValueError for anything that is not such a PNG."""
    chunks = list(_chunks(data))
    if not chunks or chunks[0][0] != b"IHDR":
        raise ValueError("not a PNG")
    width, height, *form = struct.unpack(">IIBBBBB", chunks[0][1])
    if form != [8, 2, 0, 0, 0]:
        raise ValueError(f"not 8-bit RGB: {form}")
    rows = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    stride = width * BYTES_PER_PIXEL
    pixels = bytearray()
    above = bytes(stride)
    for top in range(0, height * (stride + 1), stride + 1):
        above = _unfilter(rows[top], rows[top + 1 : top + 1 + stride], above)
        pixels += above
    return width, height, bytes(pixels)


def sample(width: int, height: int) -> bytes:
    """The demo's input: a PNG with smooth colours, hard edges and a disc."""
    pixels = bytearray()
    for y in range(height):
        for x in range(width):
            if (x - width // 2) ** 2 + (y - height // 2) ** 2 < (height // 3) ** 2:
                pixels += bytes((255, 200, 60 + x * 120 // width))
            elif (x // 40 + y // 40) % 2:
                pixels += bytes((x * 255 // width, y * 255 // height, 160))
            else:
                pixels += bytes((20, 40 + y * 100 // height, 90))
    return encode(width, height, bytes(pixels))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not data.startswith(SIGNATURE):
        raise ValueError("not a PNG")
    at = len(SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += length + 12


def _unfilter(kind: int, row: bytes, above: bytes) -> bytes:
    out = bytearray(row)
    for index, value in enumerate(row):
        left = out[index - BYTES_PER_PIXEL] if index >= BYTES_PER_PIXEL else 0
        corner = above[index - BYTES_PER_PIXEL] if index >= BYTES_PER_PIXEL else 0
        guess = (0, left, above[index], (left + above[index]) // 2, _paeth(left, above[index], corner))[kind]
        out[index] = (value + guess) & 0xFF
    return bytes(out)


def _paeth(left: int, up: int, corner: int) -> int:
    estimate = left + up - corner
    return min((left, up, corner), key=lambda value: abs(estimate - value))
