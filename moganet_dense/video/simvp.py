"""SimVP with MogaNet blocks: predicts the next frames of a video.

SimVP (Gao et al., "SimVP: Simpler yet Better Video Prediction", CVPR 2022,
https://arxiv.org/abs/2206.05099) is an encoder of each frame, a translator over all frames
at once and a decoder of each frame. The MogaNet paper (section 5.4) uses its blocks in
the translator. Module and parameter names are those of OpenSTL's checkpoints
(https://github.com/chengtan9907/OpenSTL, Apache-2.0), which load without renaming.

Notation: B batch, T frames, C channels of a frame, S channels of an encoded frame
(``hid_S``), H and W height and width.
"""

from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.registry import MODELS

from ..models.blocks import MogaBlock
from ..weights.conversion import simvp_name

LOWEST_DROP_PATH = 1e-2
"""Drop path rate of the translator's first block; it grows linearly to ``drop_path``."""


class BasicConv2d(nn.Module):
    """A convolution, optional twofold up-sampling by pixel shuffle, GroupNorm and SiLU."""

    def __init__(
        self, channels: int, out_channels: int, kernel_size: int, stride: int, upsample: bool
    ) -> None:
        super().__init__()
        conv = nn.Conv2d(
            channels,
            out_channels * (4 if upsample else 1),
            kernel_size,
            stride=stride,
            padding=(kernel_size - stride + 1) // 2,
        )
        self.conv = nn.Sequential(conv, nn.PixelShuffle(2)) if upsample else conv
        self.norm = nn.GroupNorm(2, out_channels)
        self.act = nn.SiLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm(self.conv(x)))


class ConvSC(nn.Module):
    """One layer of SimVP's encoder or decoder.

    Args:
        channels, out_channels: channels of input and output.
        kernel_size: side of the convolution.
        resize: 'down' halves height and width, 'up' doubles them, None keeps them.
    """

    def __init__(
        self, channels: int, out_channels: int, kernel_size: int, resize: str | None = None
    ) -> None:
        super().__init__()
        stride = 2 if resize == 'down' else 1
        self.conv = BasicConv2d(channels, out_channels, kernel_size, stride, resize == 'up')

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Encoder(nn.Module):
    """Frames (B T, C, H, W) to their codes (B T, S, H / 2^n, W / 2^n), n = layers // 2.

    Every second layer halves the size. Returns the codes and the first layer's map, which the
    decoder adds again.
    """

    def __init__(self, channels: int, hidden: int, layers: int, kernel_size: int) -> None:
        super().__init__()
        resize = [None, 'down'] * (layers // 2)
        widths = [channels] + [hidden] * (layers - 1)
        self.enc = nn.Sequential(
            *(
                ConvSC(width, hidden, kernel_size, r)
                for width, r in zip(widths, resize, strict=True)
            )
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first = self.enc[0](x)
        return self.enc[1:](first), first


class Decoder(nn.Module):
    """Codes (B T, S, h, w) and the encoder's first map to frames (B T, C, H, W)."""

    def __init__(self, hidden: int, channels: int, layers: int, kernel_size: int) -> None:
        super().__init__()
        resize = ['up', None] * (layers // 2)
        self.dec = nn.Sequential(*(ConvSC(hidden, hidden, kernel_size, r) for r in resize))
        self.readout = nn.Conv2d(hidden, channels, 1)

    def forward(self, code: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        return self.readout(self.dec[-1](self.dec[:-1](code) + first))


class TranslatorBlock(nn.Module):
    """A MogaNet block, then a 1x1 convolution where the width changes."""

    def __init__(
        self, channels: int, out_channels: int, ffn_ratio: float, drop_path: float
    ) -> None:
        super().__init__()
        self.block = MogaBlock(
            channels,
            ffn_ratio,
            gate='single',
            drop_rate=0.0,
            drop_path_rate=drop_path,
            layer_scale_init_value=1e-5,
            norm_cfg=dict(type='BN'),
        )
        if channels != out_channels:
            self.reduction = nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.block(x)
        return self.reduction(x) if hasattr(self, 'reduction') else x


class Translator(nn.Module):
    """MogaNet blocks over the codes of all frames, (B, T S, h, w) to the same shape."""

    def __init__(
        self, channels: int, hidden: int, blocks: int, ffn_ratio: float, drop_path: float
    ) -> None:
        super().__init__()
        widths = [channels] + [hidden] * (blocks - 1) + [channels]
        growth = (drop_path - LOWEST_DROP_PATH) / (blocks - 1)
        rates = [LOWEST_DROP_PATH + i * growth for i in range(blocks)]
        self.enc = nn.Sequential(
            *(TranslatorBlock(widths[i], widths[i + 1], ffn_ratio, rates[i]) for i in range(blocks))
        )

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.enc(z)


@MODELS.register_module()
class SimVP(BaseModel):
    """Predicts the next frames of a video from those before.

    Args:
        in_frames: T, frames that the network reads and predicts at a time.
        out_frames: frames to predict; more than T are predicted T at a time, each from the
            predictions before it.
        channels: C of a frame.
        hid_S: channels of an encoded frame.
        hid_T: channels of the translator.
        N_S: layers of encoder and of decoder, even; every second one halves the size.
        N_T: blocks of the translator, at least 2.
        kernel_size: side of the encoder's and decoder's convolutions.
        ffn_ratio: hidden width of a MogaNet block's FFN over its width.
        drop_path: stochastic depth of the translator's last block.
        data_preprocessor: config of a data preprocessor; None: mmengine's, which stacks a batch
            and moves it to the model's device.
        init_cfg: initialiser of mmengine.

    Raises:
        ValueError: an odd ``N_S``, or fewer than two blocks.
    """

    def __init__(
        self,
        in_frames: int = 10,
        out_frames: int = 10,
        channels: int = 1,
        hid_S: int = 64,
        hid_T: int = 512,
        N_S: int = 4,
        N_T: int = 8,
        kernel_size: int = 3,
        ffn_ratio: float = 8.0,
        drop_path: float = 0.0,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if N_S < 2 or N_S % 2:
            raise ValueError(f'N_S: expected an even number of layers, found {N_S}')
        if N_T < 2:
            raise ValueError(f'N_T: expected at least 2 blocks, found {N_T}')
        self.in_frames, self.out_frames = in_frames, out_frames
        self.channels = channels
        self.stride = 2 ** (N_S // 2)
        self.enc = Encoder(channels, hid_S, N_S, kernel_size)
        self.hid = Translator(in_frames * hid_S, hid_T, N_T, ffn_ratio, drop_path)
        self.dec = Decoder(hid_S, channels, N_S, kernel_size)

    def next_frames(self, frames: torch.Tensor) -> torch.Tensor:
        """The T frames after T frames, (B, T, C, H, W) both."""
        # -1 and not the given number of clips, which an exported file would keep
        clips = (-1, self.in_frames)
        code, first = self.enc(frames.flatten(0, 1))
        code = self.hid(code.unflatten(0, clips).flatten(1, 2))
        code = code.unflatten(1, (self.in_frames, -1)).flatten(0, 1)
        return self.dec(code, first).unflatten(0, clips)

    def predict(self, frames: torch.Tensor) -> torch.Tensor:
        """The next ``out_frames`` frames.

        Args:
            frames: (B, in_frames, C, H, W), floating point, in [0, 1]; H and W divisible by
                ``stride``.

        Returns:
            (B, out_frames, C, H, W); values are not clipped.

        Raises:
            ValueError: another number of frames, channels, or a size that is not divisible.
        """
        self._check(frames)
        found = []
        for _ in range(-(-self.out_frames // self.in_frames)):
            frames = self.next_frames(frames)
            found.append(frames)
        return torch.cat(found, dim=1)[:, : self.out_frames]

    def forward(
        self, inputs: torch.Tensor, targets: torch.Tensor | None = None, mode: str = 'tensor'
    ) -> torch.Tensor | dict[str, torch.Tensor] | list[dict[str, torch.Tensor]]:
        """mmengine's model interface.

        Args:
            inputs: (B, in_frames, C, H, W) in [0, 1].
            targets: (B, out_frames, C, H, W) in [0, 1]; needed by 'loss', passed on by 'predict'.
            mode: 'tensor' gives the prediction, 'loss' the mean squared error, 'predict' a list
                with one dict per video: inputs, prediction, and target if available.

        Raises:
            ValueError: another ``mode``; for the frames see :meth:`predict`.
        """
        prediction = self.predict(inputs)
        if mode == 'tensor':
            return prediction
        if mode == 'loss':
            return dict(loss=F.mse_loss(prediction.float(), targets.float()))
        if mode == 'predict':
            parts = dict(inputs=inputs, prediction=prediction)
            if targets is not None:
                parts['target'] = targets
            return [
                dict(zip(parts, video, strict=True)) for video in zip(*parts.values(), strict=True)
            ]
        raise ValueError(f"mode: expected 'tensor', 'loss' or 'predict', found {mode!r}")

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *rest) -> None:
        """Accepts OpenSTL's names, too."""
        for name in [n for n in state_dict if n.startswith(prefix) and simvp_name(n) != n]:
            state_dict[simvp_name(name)] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _check(self, frames: torch.Tensor) -> None:
        expected: Sequence = ('B', self.in_frames, self.channels, 'H', 'W')
        shape = tuple(frames.shape)
        if len(shape) != 5 or shape[1:3] != (self.in_frames, self.channels):
            raise ValueError(f'frames: expected {expected}, found {shape}')
        if shape[3] % self.stride or shape[4] % self.stride:
            raise ValueError(
                f'frames: height and width must be divisible by {self.stride}, found {shape[3:]}'
            )
