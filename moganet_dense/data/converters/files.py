"""Files of a data set: text in any encoding that annotation tools write, XML, JSON, images."""

import json
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path, PureWindowsPath
from typing import Any, ClassVar
from urllib.parse import unquote

from PIL import Image

from ...utils.errors import UserError, reason_of
from ...utils.regular_files import read_regular, require_memory
from ..sources import IMAGE_SUFFIXES
from ..tiff import tiff_size

_TURNED = {5, 6, 7, 8}
"""EXIF orientations that exchange width and height."""
_EXIF_ORIENTATION = 0x0112
LARGEST_YAML = 1_000_000
"""Characters; PyYAML takes about 10 s for them; 10 000 classes are 200 000."""
_SPLIT_WORDS = {
    'train': 'train', 'training': 'train', 'trn': 'train',
    'val': 'val', 'valid': 'val', 'validation': 'val', 'dev': 'val',
    'test': 'test', 'testing': 'test',
}  # fmt: skip


class Tree:
    """The files below a folder, listed once.

    Attributes:
        root: the folder.
        files: all files below it, sorted; hidden ones and those of macOS archives are left out.
        listed: the same as a set.
        texts: text files, by their path in lower case.
        ambiguous: names that annotations state and several images have, none nearer than others.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = sorted(_walk(root))
        self.ambiguous: set[str] = set()
        self.listed = set(self.files)
        self._images: dict[str, list[Path]] = defaultdict(list)
        self.texts: dict[Path, Path] = {}
        for file in self.files:
            if file.suffix.lower() in IMAGE_SUFFIXES:
                self._images[_key(file.name)].append(file)
            elif file.suffix.lower() == '.txt':
                self.texts[Path(str(file).lower())] = file

    def ending(self, *suffixes: str) -> list[Path]:
        """Files with one of these suffixes, ignoring case."""
        return [file for file in self.files if file.name.lower().endswith(suffixes)]

    def images(self) -> list[Path]:
        """All images."""
        return [file for file in self.files if file.suffix.lower() in IMAGE_SUFFIXES]

    def listed_as(self, name: str) -> list[Path]:
        """The images of a name, ignoring case."""
        return self._images.get(_key(name), [])

    def find_image(self, stated: str, beside: Path, without: Path | None = None) -> Path | None:
        """The image that an annotation names.

        The stated path is tried first. Then the image below the root that shares the most trailing
        path components with it is taken; of several, the one in a folder of the same split, then
        the one nearest to the annotation file. Case is ignored, and a space equals an underscore,
        as tools rename uploads; so do an umlaut and its letter with two dots, as macOS writes it,
        and ``%20`` and a space. None if two are equally near, or there is none.

        Args:
            stated: path or URL, with slashes of either kind.
            beside: the annotation file.
            without: an image that it is not.
        """
        stated = path_of(stated)
        parts = [p for p in PureWindowsPath(stated).parts if p not in ('.', '..', '\\', '/')]
        if not parts:
            return None
        for base, text in product((beside.parent, self.root), (stated, unquote(stated))):
            direct = base.joinpath(*PureWindowsPath(text).parts)
            if direct.suffix.lower() in IMAGE_SUFFIXES and is_file(direct) and direct != without:
                return direct if '..' not in direct.parts else direct.resolve()
        candidates = [file for file in self.listed_as(parts[-1]) if file != without]
        return self._nearest(candidates, parts, beside)

    def same_stem(self, stem: str, beside: Path) -> Path | None:
        """The image of a name without its ending; likewise."""
        found = [
            f for ending in IMAGE_SUFFIXES for f in self._images.get(_key(f'{stem}{ending}'), [])
        ]
        return self._nearest(found, [stem], beside)

    def _nearest(self, candidates: list[Path], parts: list[str], beside: Path) -> Path | None:
        split = split_named(beside, self.root)

        def shared(file: Path) -> tuple[bool, int, bool, int]:
            named = 0
            for ours, theirs in zip(reversed(file.parts[:-1]), reversed(parts[:-1]), strict=False):
                if _key(ours) != _key(theirs):
                    break
                named += 1
            of_split = split is not None and split_named(file, self.root) == split
            near = len(os.path.commonpath([file.parent, beside.parent]))
            same = _composed(parts[-1]) in (_composed(file.name), _composed(file.stem))
            return same, named, of_split, near

        ranked = sorted(candidates, key=shared, reverse=True)
        if len(ranked) > 1 and shared(ranked[0]) == shared(ranked[1]):
            self.ambiguous.add(parts[-1])
            return None
        return ranked[0] if ranked else None


def path_of(stated: str) -> str:
    """The path in a URL, without the signature that follows it; other paths unchanged."""
    stated = stated.split('?d=')[-1]  # Label Studio's /data/local-files/?d=PATH
    return stated.partition('?')[0] if '://' in stated else stated


def _composed(name: str) -> str:
    return unicodedata.normalize('NFC', name).lower()


def _key(name: str) -> str:
    return _composed(unquote(name)).replace(' ', '_')


def _walk(root: Path) -> Iterator[Path]:
    """Regular files, following links. FIFOs and devices are skipped, since reading them blocks. A
    folder in a cycle of links is visited once."""
    entered = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders[:] = sorted(f for f in folders if not f.startswith('.') and f != '__MACOSX')
        for name in names:
            file = Path(folder, name)
            if not name.startswith('.') and file.is_file():
                yield file


def is_file(path: Path) -> bool:
    """Whether there is a regular file; a name that no file can have is none."""
    try:
        return path.is_file()
    except OSError:  # too long
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder, likewise."""
    try:
        return path.is_dir()
    except OSError:
        return False


def image_size(file: Path) -> tuple[int, int]:
    """Width and height as the toolboxes decode an image, from its header alone.

    Raises:
        UserError: it cannot be read.
    """
    try:
        require_memory(file)
        with Image.open(file) as image:
            turned = image.getexif().get(_EXIF_ORIENTATION) in _TURNED
            width, height = image.size
    except Exception as error:  # Pillow raises many kinds
        if size := tiff_size(file):
            return size
        reason = reason_of(error)
        raise UserError(f'{file}: expected an image, found none ({reason})') from None
    return (height, width) if turned else (width, height)


def split_named(path: Path, root: Path) -> str | None:
    """The split named by a file or its folders, the nearest first."""
    parts = path.relative_to(root).parts if path.is_relative_to(root) else path.parts[-1:]
    for part in [Path(parts[-1]).stem, *reversed(parts[:-1])]:
        words = re.split(r'[^a-z]+', re.sub(r'20\d\d', '', part.lower()))
        found = {_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS}
        if len(found) == 1:
            return found.pop()
    return None


def read_text(file: Path) -> str:
    """A text file in UTF-8 with or without BOM, UTF-16 with BOM, or else Latin-1.

    Raises:
        UserError: it cannot be read.
    """
    content = _read_bytes(file)
    if content.startswith((b'\xff\xfe', b'\xfe\xff')):
        return content.decode('utf-16', errors='replace')
    try:
        return content.decode('utf-8-sig')
    except UnicodeDecodeError:
        return content.decode('latin-1')


def read_json(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        UserError: it is not JSON.
    """
    try:
        return json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise UserError(f'{file}: expected JSON, found: {error}') from None


_ENCODING = re.compile(rb'^<\?xml[^>]*?(\sencoding=["\']([\w.-]+)["\'])')


def _as_utf8(content: bytes) -> bytes:
    """XML in an encoding of several bytes a letter, such as GBK, which the parser cannot read."""
    found = _ENCODING.match(content)
    name = found[2].decode().lower() if found else 'utf-8'
    if found is None or name.startswith(('utf', 'iso-8859', 'us-ascii', 'windows-125')):
        return content
    text = content.decode(name)
    return (text[: found.start(1)] + text[found.end(1) :]).encode()


def read_xml(file: Path) -> Any:
    """The root element of an XML file; entities are rejected, as they can exhaust the memory.

    Raises:
        UserError: it is not XML, or has entities.
    """
    from defusedxml import DefusedXmlException, ElementTree

    content = _read_bytes(file)
    try:
        return ElementTree.fromstring(_as_utf8(content), forbid_dtd=False)
    except DefusedXmlException as error:
        raise UserError(
            f'{file}: expected XML without entities, found {type(error).__name__}'
        ) from None
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        raise UserError(f'{file}: expected XML, found: {reason_of(error)}') from None


def read_yaml(file: Path) -> Any:
    """The content of a YAML file of plain values; aliases are rejected, as a few lines of them
    stand for gigabytes.

    Raises:
        UserError: it is not YAML, or has aliases.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """PyYAML's, without aliases; names such as ``no``, ``1.10`` and ``12:30`` are texts."""

        yaml_implicit_resolvers: ClassVar[dict] = {}

        def compose_node(self, parent: Any, index: Any) -> Any:
            """The next node.

            Raises:
                ValueError: it is an alias.
            """
            if self.check_event(yaml.AliasEvent):
                raise ValueError('an alias (*name)')
            return super().compose_node(parent, index)

    tag = 'tag:yaml.org,2002:'
    Loader.add_implicit_resolver(f'{tag}null', re.compile(r'^(~|null)?$', re.I), ['~', *'nN', ''])
    whole = re.compile(r'^-?(0|[1-9]\d*)$')
    Loader.add_implicit_resolver(f'{tag}int', whole, list('-0123456789'))

    text = read_text(file)
    if len(text) > LARGEST_YAML:
        raise UserError(f'{file}: expected YAML of up to {LARGEST_YAML} characters: {len(text)}')
    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError) as error:
        raise UserError(
            f'{file}: expected YAML of plain values, found: {reason_of(error)}'
        ) from None


def _read_bytes(file: Path) -> bytes:
    try:
        return read_regular(file)
    except OSError as error:
        raise UserError(f'{file}: cannot be read ({error.strerror})') from None
