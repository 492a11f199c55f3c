r"""DINOv2: a vision transformer trained without labels, whose Fréchet distance follows what people
see more closely than Inception's (Stein et al. 2023).

    u      = (resize(x) / 255 - m) / s                         224x224, mean m and deviation s of ImageNet's channels
    z_0    = [c; E u_1; ...; E u_N] + P                         class token c, patches of 14x14 pixels, positions P
    z      <- z + g_1 * attention(norm(z))                      Dosovitskiy et al. 2020, eq. 2; g scales each channel (LayerScale)
    z      <- z + g_2 * mlp(norm(z))                            eq. 3
    h      = norm(z_L)[class token]                             eq. 4: the features. There are no class scores.

Images are resized as Stein et al. do: by Pillow's bicubic filter on 8-bit pixels, which is
torchvision's default for pictures. Parameters have the names of the published file. The positions
were learned on 37x37 patches (518x518 pixels); on 16x16 they are interpolated.

References:
    Oquab et al. (2023), DINOv2: learning robust visual features without supervision.
        arXiv:2304.07193
    Stein et al. (2023), Exposing flaws of generative model evaluation metrics and their unfair
        treatment of diffusion models. arXiv:2306.04675
    Dosovitskiy et al. (2020), An image is worth 16x16 words: transformers for image recognition at
        scale. arXiv:2010.11929
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["DINOv2", "resize"]

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


class DINOv2(nn.Module):
    """The vision transformer, float32.

    Args:
        state: Weights by their published names.
        features: Channels of a token, the length F of the feature vector.
        classes: Number of class scores K: 0.
        depth: Blocks L.
        heads: Attention heads of a block.
        patch: Height and width of a patch in pixels.
        size: Height and width to which images are resized, a multiple of `patch`.
    """

    def __init__(
        self,
        state: dict[str, Tensor],
        features: int = 1024,
        classes: int = 0,
        depth: int = 24,
        heads: int = 16,
        patch: int = 14,
        size: int = 224,
    ) -> None:
        super().__init__()
        if classes or size % patch or features % heads:
            raise ValueError(
                "DINOv2: classes is 0, size a multiple of patch, and features one of heads"
            )
        self.size = size
        self.patch = patch
        with torch.device("meta"):  # Only shapes are made here; `state` has the numbers.
            self.cls_token = nn.Parameter(torch.empty(1, 1, features))
            self.pos_embed = nn.Parameter(torch.empty_like(state["pos_embed"]))
            self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, features, patch, patch)})
            self.blocks = nn.ModuleList(_Block(features, heads) for _ in range(depth))
            self.norm = nn.LayerNorm(features, eps=1e-6)
        # The mask token is used in training only.
        self.load_state_dict(
            {name: value for name, value in state.items() if name != "mask_token"}, assign=True
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels, uint8 (B, 3, H, W) of 256 levels -> features, float32 (B, F), and no logits,
        float32 (B, 0).
        """
        mean, deviation = (
            torch.tensor(value, device=x.device)[:, None, None] for value in (_MEAN, _DEVIATION)
        )
        u = (resize(x, self.size) / 255 - mean) / deviation
        # Eq. 1
        patches = self.patch_embed["proj"](u).flatten(2).transpose(1, 2)
        z = torch.cat((self.cls_token.expand(len(x), -1, -1), patches), 1) + self._positions()
        for block in self.blocks:
            z = block(z)
        h = self.norm(z[:, 0])
        return h, h[:, :0]

    def _positions(self) -> Tensor:
        """P of shape (1, 1 + N, F) for the present grid of patches."""
        learned = math.isqrt(self.pos_embed.shape[1] - 1)
        wanted = self.size // self.patch
        if learned == wanted:
            return self.pos_embed
        grid = self.pos_embed[:, 1:].unflatten(1, (learned, learned)).movedim(3, 1)
        # The published program uses this scale, which is a tenth of a patch above the ratio of the
        # grids.
        grid = F.interpolate(grid, scale_factor=(wanted + 0.1) / learned, mode="bicubic")
        return torch.cat((self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)), 1)


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.attn = _Attention(width, heads)
        self.mlp = _MLP(width)
        self.ls1, self.ls2 = (
            nn.ParameterDict({"gamma": nn.Parameter(torch.empty(width))}) for _ in range(2)
        )

    def forward(self, z: Tensor) -> Tensor:
        z = z + self.ls1["gamma"] * self.attn(self.norm1(z))
        return z + self.ls2["gamma"] * self.mlp(self.norm2(z))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, z: Tensor) -> Tensor:
        # (B, tokens, 3, heads, width of a head) -> 3 x (B, heads, tokens, width of a head)
        q, k, v = self.qkv(z).unflatten(2, (3, self.heads, -1)).movedim(2, 0).transpose(2, 3)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _MLP(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, z: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(z)))


def resize(x: Tensor, size: int) -> Tensor:
    """Pixels, uint8 (B, C, H, W) -> float32 (B, C, size, size) of whole numbers 0 .. 255, as Pillow
    resizes by its bicubic filter.

    Pillow resizes the width, rounds to 8 bits, and then resizes the height. This function does the
    same, and its pixels differ from those of Pillow by one at most.
    """
    wide = (
        F.interpolate(x.float(), (x.shape[2], size), mode="bicubic", antialias=True)
        .round()
        .clamp(0, 255)
    )
    return F.interpolate(wide, (size, size), mode="bicubic", antialias=True).round().clamp(0, 255)
