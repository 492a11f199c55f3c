"""The catalogue of metrics: what each metric is called, which direction is better, and what it needs.

A metric is one file of `genbench/metrics/`, which declares it and measures it:

    METRICS = {"kid": MetricInfo("KID", "lower", 4, inputs=("extractor", "reference images"))}

    def measure_kid(samples: Samples) -> Estimate: ...

Nothing else lists the names of metrics. Tables and protocols need the declarations alone, and must
start without torch, which the files of metrics import. This module therefore reads the
declarations from the text of the code.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from genbench.errors import InputError, nearest
from genbench.records.parts import ProtocolIdentity
from genbench.system.typed import Range

__all__ = [
    "Input",
    "MetricInfo",
    "curve_metric",
    "declared_metrics",
    "diversity_metric",
    "image_metrics",
    "metric_info",
    "metrics",
    "named_metric",
    "quality_metric",
]

Input = Literal[
    "extractor",
    "class scores",
    "reference images",
    "labels",
    "training images",
    "pairs",
    "reconstructions",
    "known distribution",
    "known probabilities",
    "density",
    "joint density",
    "codes",
    "encodings",
    "divergences",
]

ANY_NUMBER = Range()

# Which metrics stand for the quality and the diversity of samples. The first one that a protocol
# measures is the one that tables and plots compare.
QUALITY = ("fid", "energy_distance", "kl", "kl_estimate", "kid", "mind")
DIVERSITY = ("recall", "coverage", "modes_covered", "class_modes")


@dataclass(frozen=True)
class MetricInfo:
    """How a metric is printed and ranked, and what it is computed from.

    Attributes:
        title: Column head.
        better: Which direction is better; None for a metric that is not ranked.
        digits: Decimals that tables print.
        inputs: What the metric needs besides the generated images: the features of an extractor,
            its class scores, the reference images themselves (not only the mean and covariance of
            their features), their labels, the training images, pairs of images x and y, so that
            each sample of p(x | y) has a true x, reconstructions of the reference images, the true
            distribution of the data as a table of all images, or log p of single images, the
            density of the model, or that of images with their labels, which a model of p(x | y)
            with a density has, the codes of an encoder that is not given y, the encodings of the
            reference images or the divergences of their posteriors from the prior.
        range: Values that the metric can take. An unbiased estimate of a distance may be negative,
            and rounding takes a distance of 0 a little below 0.
        largest: The largest value, where it follows from the number K of classes that the extractor
            tells apart: K, or log K. None: it does not follow from K.
        images: Smallest number of generated images.
        module: Name of the file in `genbench.metrics`, which the catalogue fills in.
    """

    title: str
    better: Literal["lower", "higher"] | None
    digits: int
    inputs: tuple[Input, ...] = ()
    range: Range = ANY_NUMBER
    largest: Literal["classes", "log classes"] | None = None
    images: int = 2
    module: str = ""

    @property
    def title_in_text(self) -> str:
        """The title within a sentence.

        Examples:
            >>> MetricInfo("Energy distance", "lower", 4).title_in_text
            'energy distance'
            >>> MetricInfo("KL(data ‖ model)", "lower", 4).title_in_text
            'KL(data ‖ model)'
        """
        if self.title[:2].isupper():
            return self.title
        return self.title[0].lower() + self.title[1:]

    @property
    def of_likelihood(self) -> bool:
        """Whether the metric is computed from log p(x). Its kind is then that of the likelihood:
        an upper bound where log p(x) is a lower bound.
        """
        return "density" in self.inputs

    @property
    def needs_moments_only(self) -> bool:
        """Whether mean and covariance of the reference features can replace the reference images."""
        return set(self.inputs) <= {"extractor", "class scores"}


@cache
def metrics() -> dict[str, MetricInfo]:
    """All metrics by name, in the order of their files."""
    return declared_metrics(Path(__file__).parents[1] / "metrics")


def declared_metrics(folder: Path) -> dict[str, MetricInfo]:
    """The metrics that the files of a folder declare.

    Args:
        folder: Folder with Python files. Those without a dictionary METRICS declare nothing.

    Returns:
        Name of the metric -> its description.

    Raises:
        InputError: A declaration cannot be read without running the file, or says what no metric
            can be.
    """
    declarations: dict[str, MetricInfo] = {}
    for path in sorted(folder.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "\nMETRICS" not in text:
            continue
        for name, info in _declaration(ast.parse(text), path).items():
            declarations[name] = replace(info, module=path.stem)
    return declarations


def _declaration(tree: ast.Module, path: Path) -> dict[str, MetricInfo]:
    """The value of METRICS in a file, without running the file."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            target = statement.targets[0]
        elif isinstance(statement, ast.AnnAssign):
            target = statement.target
        else:
            continue
        if ast.unparse(target) == "METRICS" and statement.value is not None:
            return _checked(_value(statement.value, path), path)
    return {}


def _checked(declaration: Any, path: Path) -> dict[str, MetricInfo]:
    """A declaration whose words are those of `MetricInfo`."""
    is_dictionary = isinstance(declaration, dict)
    if not is_dictionary or not all(isinstance(i, MetricInfo) for i in declaration.values()):
        raise InputError(f"{path}: METRICS is a dictionary from a name to a MetricInfo")
    for name, info in declaration.items():
        if info.better not in ("lower", "higher", None):
            allowed = "'lower', 'higher' or None"
            raise InputError(f"{path}: METRICS: better of {name} is {allowed}, not {info.better!r}")
        if info.largest not in ("classes", "log classes", None):
            allowed = "'classes', 'log classes' or None"
            raise InputError(
                f"{path}: METRICS: largest of {name} is {allowed}, not {info.largest!r}"
            )
        for word in info.inputs:
            if word not in get_args(Input):
                raise InputError(
                    f"{path}: METRICS: {name} needs {word!r}; {nearest(word, get_args(Input))}"
                )
    checked: dict[str, MetricInfo] = declaration
    return checked


def _value(node: ast.expr, path: Path) -> Any:
    """The value of an expression: literals, dictionaries, and calls of MetricInfo and Range.

    Raises:
        InputError: It is anything else.
    """
    try:
        return _literal(node)
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{path}:{node.lineno}: METRICS is read without running the file: a dictionary of "
            f"literals, MetricInfo(...) and Range(...) under these names, not {ast.unparse(node)}"
        ) from None


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Dict):
        keys = [ast.literal_eval(key) for key in node.keys if key is not None]
        return dict(zip(keys, map(_literal, node.values), strict=True))
    if isinstance(node, ast.Call):
        made_by = {"MetricInfo": MetricInfo, "Range": Range}[ast.unparse(node.func)]
        named = {str(keyword.arg): _literal(keyword.value) for keyword in node.keywords}
        return made_by(*map(_literal, node.args), **named)
    return ast.literal_eval(node)


def image_metrics() -> tuple[str, ...]:
    """Names of the metrics that are computed from the features of an extractor."""
    return tuple(name for name, info in metrics().items() if "extractor" in info.inputs)


def metric_info(name: str) -> MetricInfo:
    """The description of a metric.

    Args:
        name: Name of a metric, as protocols and records write it. A record may hold a metric that
            this version does not know: it is printed under its own name, and not ranked.
    """
    return metrics().get(name, MetricInfo(name, None, 4))


def curve_metric(names: Iterable[str]) -> str | None:
    """The metric of the curve over the images seen: the first one that stands for the quality of
    samples and can be computed without the model's density; None where there is none.

    Args:
        names: The metrics of a protocol.
    """
    measured = set(names)
    return next(
        (name for name in QUALITY if name in measured and not metrics()[name].of_likelihood), None
    )


def quality_metric(protocol: ProtocolIdentity) -> str | None:
    """The metric that stands for the quality of samples; None where the protocol measures none."""
    return next((name for name in QUALITY if name in protocol.metrics), None)


def diversity_metric(protocol: ProtocolIdentity) -> str | None:
    """The metric that stands for the diversity of samples; None where the protocol measures none."""
    return next((name for name in DIVERSITY if name in protocol.metrics), None)


def named_metric(protocol: ProtocolIdentity, name: str) -> str:
    """The metric of a name, of which "quality" and "diversity" are the ones that stand for them.

    Args:
        protocol: What is measured.
        name: Name of a metric, quality or diversity.
    """
    if name == "quality":
        return quality_metric(protocol) or name
    if name == "diversity":
        return diversity_metric(protocol) or name
    return name
