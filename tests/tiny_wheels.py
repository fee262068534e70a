"""Wheels of one module, written without any build tool."""

import os
import zipfile


def write_wheel(folder: str, name: str, version: str) -> str:
    """Writes a wheel that holds ``name.py`` into ``folder``; returns its file name."""
    file = f'{name}-{version}-py3-none-any.whl'
    texts = dict(
        METADATA=f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n',
        WHEEL='Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
        RECORD='',
    )
    with zipfile.ZipFile(os.path.join(folder, file), 'w') as wheel:
        wheel.writestr(f'{name}.py', f'version = {version!r}')
        for part, text in texts.items():
            wheel.writestr(f'{name}-{version}.dist-info/{part}', text)
    return file
