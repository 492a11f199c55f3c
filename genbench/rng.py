r"""Counter-based random numbers: randomness is a function, not a state.

Every random number of genbench is a function of (seed, purpose, global index, counter), never of
rank, world size, worker count or interruptions. An `Rng` holds one stream per image: stream i
belongs to the image with global index i, so the noise of an image does not depend on the batch, the
process or the machine that it happens to be computed on.

The generator is Philox 4x32-10, written in tensor operations that give the same bits on CPU and
GPU:

    (c_0, c_1, c_2, c_3) -> (hi(M_1 c_2) ^ c_1 ^ k_0, lo(M_1 c_2), hi(M_0 c_0) ^ c_3 ^ k_1, lo(M_0 c_0))       ten times.

References:
    Salmon, Moraes, Dror, Shaw (2011), Parallel random numbers: as easy as 1, 2, 3. SC '11.
    doi:10.1145/2063384.2063405 Box, Muller (1958), A note on the generation of random normal
    deviates.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["Rng", "philox"]

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
# From this many entries on, torch shares them out to its threads.
_SHARED = 2**15

# The last counter word says what a block is for, so that keys, children and draws never collide.
_STREAM = 0
_CHILD = 1
_DRAW = 2


def philox(
    counter: Sequence[Tensor | int], key: Sequence[Tensor | int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox 4x32-10 on broadcastable int64 tensors that hold 32-bit words; a word that all streams
    share may be an int.

    Args:
        counter: Four counter words.
        key: Two key words. At least one of the six is a tensor.

    Returns:
        Four int64 tensors of 32 random bits each.

    Examples:
        The first known answer of the authors' library, Random123, is 6627e8d5 e169c58d ...:

        >>> zero = torch.zeros((), dtype=torch.int64)
        >>> [f"{int(word):08x}" for word in philox((zero, 0, 0, 0), (0, 0))]
        ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    words = (*counter, *key)
    if _is_for_numpy(words):
        blocks = _rounds([w.numpy() if isinstance(w, Tensor) else w for w in words])
        c0, c1, c2, c3 = (torch.from_numpy(block) for block in blocks)
    else:
        c0, c1, c2, c3 = (torch.as_tensor(block) for block in _rounds(words))
    return c0, c1, c2, c3


def _rounds(words: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
    """Ten rounds on four words of a counter and two of a key, arrays of torch or of numpy."""
    c0, c1, c2, c3, k0, k1 = words
    for _ in range(10):
        # Products of int64 wrap modulo 2^64, which leaves their 64 bits right; the mask undoes the
        # sign of the shift.
        p0 = c0 * _MULTIPLIERS[0]
        p1 = c2 * _MULTIPLIERS[1]
        c0 = ((p1 >> 32) & _WORD) ^ c1 ^ k0
        c2 = ((p0 >> 32) & _WORD) ^ c3 ^ k1
        c1 = p1 & _WORD
        c3 = p0 & _WORD
        k0 = (k0 + _WEYL[0]) & _WORD
        k1 = (k1 + _WEYL[1]) & _WORD
    return c0, c1, c2, c3


def _is_for_numpy(words: Sequence[Tensor | int]) -> bool:
    """Whether numpy is faster, and gives the same bits: on the CPU in one thread, where it takes a
    third of the time of torch for few entries, and half of it for many.
    """
    tensors = [word for word in words if isinstance(word, Tensor)]
    # A single number of numpy warns of a product that wraps; an array does not.
    if not all(type(word) is Tensor and word.is_cpu and word.ndim > 0 for word in tensors):
        return False
    entries = math.prod(torch.broadcast_shapes(*[word.shape for word in tensors]))
    return entries < _SHARED or torch.get_num_threads() == 1


class Rng:
    """One random stream per image.

    Successive draws from one `Rng` are independent; `split` gives independent children that depend
    on the purpose only, not on what has been drawn. Create one per use: two `Rng` of equal
    arguments draw equal numbers.

    Args:
        seed: The experiment's seed, 0 <= seed < 2^63.
        index: Global index of the image behind each stream, int64 of shape (B,), or a range.
        dtype: Floating type of the draws.
        device: Where the draws are made. Default: where `index` is, else the CPU.

    Attributes:
        index: Global index of the image behind each stream, int64 (B,).

    Examples:
        The numbers of image 7 do not depend on the images that are drawn beside it:

        >>> Rng(0, range(8)).integers(10, (5,))[7].tolist()
        [5, 6, 8, 6, 7]
        >>> Rng(0, [7]).integers(10, (5,))[0].tolist()
        [5, 6, 8, 6, 7]

        A child depends on its purpose, not on what has been drawn before:

        >>> rng = Rng(0, [7])
        >>> before = rng.split("noise").integers(10, (5,))
        >>> _ = rng.normal((100,))
        >>> bool((rng.split("noise").integers(10, (5,)) == before).all())
        True
    """

    def __init__(
        self,
        seed: int,
        index: Tensor | Sequence[int],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        index = torch.as_tensor(index, dtype=torch.int64, device=device)
        k0, k1, _, _ = philox((index & _WORD, index >> 32, 0, _STREAM), (seed & _WORD, seed >> 32))
        self.index = index
        self._key = torch.stack((k0, k1))
        self._drawn = 0
        self.dtype = dtype

    @classmethod
    def _from_key(cls, index: Tensor, key: Tensor, dtype: torch.dtype, drawn: int = 0) -> Rng:
        rng = cls.__new__(cls)
        rng.index = index
        rng._key = key
        rng._drawn = drawn
        rng.dtype = dtype
        return rng

    def __len__(self) -> int:
        return self._key.shape[1]

    def __getitem__(self, rows: slice | Tensor) -> Rng:
        """The streams of some images."""
        return self._from_key(self.index[rows], self._key[:, rows], self.dtype, self._drawn)

    @property
    def device(self) -> torch.device:
        return self._key.device

    def to(
        self,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **_: object,
    ) -> Rng:
        """The same streams on another device, or in another floating type."""
        index = self.index.to(device)
        return self._from_key(index, self._key.to(device), dtype or self.dtype, self._drawn)

    @classmethod
    def of_samples(
        cls,
        seed: int,
        index: Tensor | Sequence[int],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> Rng:
        """The streams of samples: `model.sample(Rng.of_samples(0, range(16)))` are the first 16 of
        `genbench sample --seed 0`.
        """
        return cls(seed, index, dtype, device).split("sample")

    def split(self, purpose: str, k: int = 0) -> Rng:
        """An independent stream per image for a purpose, and the k-th of its kind."""
        digest = hashlib.sha256(purpose.encode()).digest()
        low, high = (int.from_bytes(digest[i : i + 4], "little") for i in (0, 4))
        c0, c1, _, _ = philox((low, high, k, _CHILD), tuple(self._key))
        return self._from_key(self.index, torch.stack((c0, c1)), self.dtype)

    def bits(self, shape: Sequence[int] = ()) -> Tensor:
        """32 random bits each, int64 of shape (B, *shape)."""
        return (
            torch.stack(self._blocks(shape), dim=-1)
            .flatten(1)[:, : math.prod(shape)]
            .reshape(len(self), *shape)
        )

    def uniform(self, shape: Sequence[int] = ()) -> Tensor:
        """Uniform on the open interval (0, 1), of shape (B, *shape): 23 bits, so that neither 0 nor
        1 is ever drawn.
        """
        return _unit(self.bits(shape)).to(self.dtype)

    def normal(self, shape: Sequence[int] = ()) -> Tensor:
        """Standard normal, of shape (B, *shape).

        Examples:
            >>> eps = Rng(seed=0, index=range(10_000)).normal((2,))
            >>> [round(value, 3) for value in eps.mean(0).tolist() + eps.std(0).tolist()]
            [-0.001, -0.009, 0.989, 1.006]
        """
        a, b, c, d = (_unit(word) for word in self._blocks(shape))
        # Box and Muller (1958). In float64, so that the rounded result does not depend on the
        # device's log and cos.
        radius = torch.stack((a, b)).log_().mul_(-2).sqrt_()
        angle = torch.stack((c, d)).mul_(2 * math.pi)
        z = torch.cat((radius * angle.cos(), radius * angle.sin())).movedim(0, -1)
        return z.flatten(1)[:, : math.prod(shape)].reshape(len(self), *shape).to(self.dtype)

    def integers(self, high: int, shape: Sequence[int] = ()) -> Tensor:
        """Uniform on {0, ..., high - 1}, int64 of shape (B, *shape); biased by at most high / 2^32.

        Examples:
            >>> Rng(seed=1, index=range(2)).integers(6, (4,)).tolist()
            [[0, 4, 4, 0], [4, 1, 3, 3]]
        """
        return (self.bits(shape) * high) >> 32

    def _blocks(self, shape: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        blocks = -(-math.prod(shape) // 4)
        count = torch.arange(self._drawn, self._drawn + blocks, device=self.device)
        self._drawn += blocks
        return philox((count, 0, 0, _DRAW), (self._key[0, :, None], self._key[1, :, None]))


def _unit(bits: Tensor) -> Tensor:
    return ((bits >> 9).double() + 0.5) * 2.0**-23
