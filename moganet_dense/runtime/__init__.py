"""Runs exported ONNX files with NumPy, OpenCV and onnxruntime only: no torch, no toolbox.

    from moganet_dense.runtime import load
    model = load('retinanet.onnx')
    found = model('photo.jpg')  # a result of moganet_dense.results

On the command line: ``python -m moganet_dense.runtime FILE INPUT... --out DIR``.
"""

from .model import OnnxModel, load

__all__ = ['OnnxModel', 'load']
