"""How the optimizers of a training are run, in images."""

from __future__ import annotations

from dataclasses import dataclass

from genbench.formulas.learning_rate import LearningRateSchedule

__all__ = ["Optimization", "require"]


@dataclass(frozen=True)
class Optimization:
    """How gradients become steps.

    Args:
        warmup_images: The learning rate rises linearly from 0 over this many images.
        clip_norm: Largest L2 norm of a player's gradient; longer ones are scaled down. null: no
            clipping.
        ema_half_life: Half-life of the moving average of the weights, in images; 0: the last
            weights are the result.
        schedule: The learning rate over the budget, a class of genbench.formulas.learning_rate such
            as CosineDecay; null: constant.
    """

    warmup_images: int = 0
    clip_norm: float | None = None
    ema_half_life: int = 0
    schedule: LearningRateSchedule | None = None

    def __post_init__(self) -> None:
        require(
            self.warmup_images >= 0,
            f"optimization.warmup_images is at least 0, not {self.warmup_images}",
        )
        require(
            self.ema_half_life >= 0,
            f"optimization.ema_half_life is at least 0, not {self.ema_half_life}",
        )
        require(
            self.clip_norm is None or self.clip_norm > 0,
            f"optimization.clip_norm is positive, not {self.clip_norm}",
        )


def require(condition: bool, message: str) -> None:
    """Refuse a setting.

    Raises:
        ValueError: The condition does not hold; the message says what would be right.
    """
    if not condition:
        raise ValueError(message)
