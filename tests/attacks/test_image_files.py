"""Images of a few kilobytes that stand for gigabytes, or that ask a decoder to run something."""

import struct
import zlib
from pathlib import Path

import pytest

from moganet_dense.data.image_io import decode
from moganet_dense.utils.errors import UserError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of 9 x 9 pixels with more chunks before its pixels."""
    pixels = zlib.compress((b'\0' + bytes(27)) * 9)
    head = struct.pack('>IIBBBBB', 9, 9, 8, 2, 0, 0, 0)
    parts = [b'\x89PNG\r\n\x1a\n']
    for kind, data in [(b'IHDR', head), *chunks, (b'IDAT', pixels), (b'IEND', b'')]:
        check = struct.pack('>I', zlib.crc32(kind + data))
        parts += [struct.pack('>I', len(data)), kind, data, check]
    return b''.join(parts)


def tiff(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    rows = b''.join(struct.pack('<HHII', *entry) for entry in entries)
    return b'II*\0\x08\0\0\0' + struct.pack('<H', len(entries)) + rows + struct.pack(
        '<I', following) + bytes(200)  # fmt: skip


NINE = [(256, 4, 1, 9), (257, 4, 1, 9), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
FRAMES = [(b'fcTL', struct.pack('>IIIIIHHBB', i, 9, 9, 0, 0, 1, 1, 0, 0)) for i in range(50_000)]
IMAGES = {
    'a profile of 64 MB': lambda: png((b'iCCP', b'x\0\0' + zlib.compress(bytes(1 << 26)))),
    'a text of 64 MB': lambda: png((b'zTXt', b'x\0\0' + zlib.compress(bytes(1 << 26)))),
    '100 000 texts': lambda: png(*[(b'tEXt', b'k\0v')] * 100_000),
    '50 000 frames': lambda: png((b'acTL', struct.pack('>II', 2**31 - 1, 0)), *FRAMES),
    'PPM': lambda: b'P6 99999999999 99999999999 255\n\0',
    'digits without an end': lambda: b'P2 3 3 255\n' + b'9' * 1_000_000,
    'BMP': lambda: b'BM' + struct.pack('<IHHIIiiHHIIiiII', 100, 0, 0, 54, 40, -(2**31),
                                       -(2**31), 1, 24, 0, 0, 0, 0, 0, 0),
    'Radiance': lambda: b'#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 99999 +X 99999\n',
    'PFM': lambda: b'PF\n99999 99999\n-1.0\n',
    'Sun': lambda: b'\x59\xa6\x6a\x95' + struct.pack('>7I', 99999, 99999, 24, 0, 1, 0, 0),
    'GIF': lambda: b'GIF89a' + struct.pack('<HHBBB', 65535, 65535, 0, 0, 0) + b',' + bytes(4)
    + b'\xff\xff\xff\xff\0\x08\0;',
    'EPS': lambda: b'%!PS-Adobe-3.0 EPSF-3.0\n(%pipe%touch code-has-run) (w) file\n',
    'SVG': lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/>',
    'TIFF that refers to itself': lambda: tiff(*NINE, (273, 4, 1, 130), (279, 4, 1, 81),
                                               following=8),
    'TIFF of 60 000 channels': lambda: tiff((256, 4, 1, 60000), (257, 4, 1, 60000),
                                            (258, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 60000)),
    'TIFF with a tile of exapixels': lambda: tiff(*NINE, (277, 3, 1, 5), (322, 4, 1, 2**31),
                                                  (323, 4, 1, 2**31), (324, 4, 1, 9)),
}  # fmt: skip


@pytest.mark.parametrize('kind', IMAGES)
def test_images_that_unpack_to_gigabytes(kind, capfd):
    """Each is read as 9 x 9 pixels, or refused in one line, without the memory."""
    Path('x.png').write_bytes(IMAGES[kind]())
    before = peak_memory()
    for color_type in ('color', 'unchanged'):
        try:
            assert decode('x.png', color_type).shape[:2] == (9, 9)
        except UserError as error:
            assert '\n' not in str(error) and 'x.png' in str(error)
    assert peak_memory() - before < 400 and not Path('code-has-run').exists()
    assert 'tifffile' not in capfd.readouterr().err


def peak_memory() -> float:
    """Of this process so far, in MB."""
    resource = pytest.importorskip('resource')
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
