r"""A causal transformer in the style of GPT: every position attends to the earlier ones.

    i       position 0, ..., D - 1 in raster order, channels innermost
    e_i     what enters at position i: the embedding of pixel x_{i-1}, a learned vector for i = 0, each plus that of the
            position and a linear map of the conditioning vector
    d       width / heads, length of a query, a key and a value

In each block, with layer normalisation LN before either part (Radford et al. 2019):

    h_i  <-  h_i + W_o concat_heads( sum_{j <= i} softmax_j(q_i . k_j / sqrt(d)) v_j ),      (q, k, v) = W LN(h)      (eq. 1)
    h_i  <-  h_i + W_2 GELU(W_1 LN(h_i))                                                                           (eq. 2)

(equations of Vaswani et al.). logits_i is a linear map of LN(h_i), and as e_i holds x_{i-1}, it depends on earlier pixels alone.

Sampling keeps the keys and values of the earlier positions: a new position is one row through
every block, and attends to what is kept. An image costs D rows, in place of the D^2 of evaluating
the whole network for each.

References:
    Vaswani et al. (2017), Attention is all you need. arXiv:1706.03762
    Radford, Narasimhan, Salimans, Sutskever (2018), Improving language understanding by generative
    pre-training.
    Radford, Wu, Child, Luan, Amodei, Sutskever (2019), Language models are unsupervised multitask
    learners (layer normalisation first).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.nets.autoregressive import AutoregressiveNet, Choose
from genbench.nets.dropout import dropout
from genbench.rng import Rng
from genbench.spec import Shape

__all__ = ["Transformer"]


class Transformer(AutoregressiveNet):
    """Decoder-only transformer (Vaswani et al. 2017, arXiv:1706.03762; Radford et al. 2018).

    Args:
        inputs: (C, H, W).
        outputs: (levels, C, H, W).
        cond: Length of the conditioning vector, added to the features of every position.
        width: Features per position, a multiple of heads.
        depth: Blocks, at least one.
        heads: Attention heads.
        dropout: Probability that a feature that enters, or that a block adds, is dropped in
            training; rounded to a multiple of 1/256.
    """

    def __init__(
        self,
        inputs: Shape,
        outputs: Shape,
        cond: int = 0,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(inputs, outputs)
        if width < 1 or depth < 1:
            raise ValueError(
                f"Transformer: width and depth are at least 1, not {width} and {depth}"
            )
        if heads < 1 or width % heads:
            raise ValueError(f"Transformer: heads divide width {width}, which {heads} do not")
        if not 0 <= dropout < 0.99:
            raise ValueError(f"Transformer: dropout is from 0 to below 0.99, not {dropout}")
        self.dims = math.prod(inputs)
        self.dropout = dropout
        # Level k has row k. The last row enters at position 0.
        self.embedding = nn.Embedding(self.levels + 1, width)
        self.position = nn.Parameter(torch.empty(self.dims, width))
        self.shift = nn.Linear(cond, width, bias=False) if cond else None
        self.blocks = nn.ModuleList(_Block(width, heads, depth) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, self.levels)
        # The embeddings of GPT start with this standard deviation.
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.position, std=0.02)

    def forward(self, x: Tensor, cond: Tensor | None = None, rng: Rng | None = None) -> Tensor:
        channels, height, width = self.inputs
        pixels = x.movedim(1, -1).flatten(1).long()
        h = self._enter(F.pad(pixels[:, :-1], (1, 0), value=self.levels), self.position, cond)
        h = dropout(h, self.dropout, rng)
        for block in self._blocks:
            h = block(h, self.dropout, rng)
        logits = self.head(self.norm(h))
        return logits.unflatten(1, (height, width, channels)).permute(0, 4, 3, 1, 2)

    @torch.no_grad()
    def generate(self, choose: Choose, batch: int, cond: Tensor | None = None) -> Tensor:
        channels, height, width = self.inputs
        caches = [_Cache(block, batch, self.dims) for block in self._blocks]
        last = torch.full((batch, 1), self.levels, device=self.position.device)
        pixels = []
        for i in range(self.dims):
            h = self._enter(last, self.position[i : i + 1], cond)
            for cache in caches:
                h = cache.step(h, i)
            last = choose(self.head(self.norm(h))[:, 0], i)[:, None]
            pixels.append(last)
        return torch.cat(pixels, 1).unflatten(1, (height, width, channels)).movedim(-1, 1)

    @property
    def _blocks(self) -> list[_Block]:
        return list(cast("Iterable[_Block]", self.blocks))

    def _enter(self, pixels: Tensor, position: Tensor, cond: Tensor | None) -> Tensor:
        """e of some positions, (B, positions, width), from the pixels before them."""
        h = self.embedding(pixels) + position
        if self.shift is None or cond is None:
            return h
        return h + self.shift(cond)[:, None]


class _Block(nn.Module):
    """Attention, and a perceptron of one hidden layer at every position; both are added."""

    def __init__(self, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        # The outputs of 2 * depth layers are added up. With this scale, the variance of the sum
        # does not grow with the depth (Radford et al. 2019).
        for last in (self.out, self.down):
            nn.init.normal_(last.weight, std=0.02 / math.sqrt(2 * depth))

    def forward(self, h: Tensor, p: float, rng: Rng | None) -> Tensor:
        q, k, v = self.queries_keys_values(h)
        # This is eq. 1, with a sum over j <= i.
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + dropout(self.joined(attended), p, rng)
        return h + dropout(self.perceptron(h), p, rng)

    def queries_keys_values(self, h: Tensor) -> tuple[Tensor, ...]:
        """(B, positions, width) -> three of (B, heads, positions, d)."""
        parts = self.qkv(self.norm_1(h)).unflatten(-1, (3, self.heads, -1))
        return parts.permute(2, 0, 3, 1, 4).unbind(0)

    def joined(self, attended: Tensor) -> Tensor:
        """What the heads give, (B, heads, positions, d), as one vector per position."""
        return self.out(attended.transpose(1, 2).flatten(2))

    def perceptron(self, h: Tensor) -> Tensor:
        """Eq. 2."""
        return self.down(F.gelu(self.up(self.norm_2(h))))


class _Cache:
    """Keys and values of a block at the positions so far."""

    def __init__(self, block: _Block, batch: int, dims: int) -> None:
        width = block.out.in_features
        weight = block.out.weight
        self.block = block
        self.k = weight.new_empty(batch, block.heads, dims, width // block.heads)
        self.v = torch.empty_like(self.k)

    def step(self, h: Tensor, i: int) -> Tensor:
        """The block at position i alone: (B, 1, width) -> (B, 1, width)."""
        q, k, v = self.block.queries_keys_values(h)
        self.k[:, :, i : i + 1] = k
        self.v[:, :, i : i + 1] = v
        attended = F.scaled_dot_product_attention(q, self.k[:, :, : i + 1], self.v[:, :, : i + 1])
        h = h + self.block.joined(attended)
        return h + self.block.perceptron(h)
