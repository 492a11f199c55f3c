"""Eight processes that write everything that a checkout shares, at once.

python writers_worker.py OUT RECORD      OUT: a leaderboard; $GENBENCH_DATA: the data; RECORD: one to make others of
"""

from __future__ import annotations

import dataclasses
import os
import sys
import traceback
from pathlib import Path

import torch

from genbench.config.protocol import Protocol
from genbench.data.digits import Digits
from genbench.evaluation.reference import features_of
from genbench.leaderboard import build
from genbench.metrics.extractor import load_extractor
from genbench.metrics.reference import reference_features
from genbench.records.record import Record
from genbench.records.store import write_record

WRITERS, EACH, COMMON = 8, 3, 999


def of_seed(record: Record, seed: int) -> Record:
    """A record of another training seed."""
    config = {**record.provenance.config, "seed": seed}
    provenance = dataclasses.replace(record.provenance, config=config)
    return dataclasses.replace(record, seed=seed, provenance=provenance)


def write(writer: int, out: Path, record: Record) -> None:
    data, extractor = Digits(), load_extractor("digits")
    protocol = Protocol("p", ("fid",), 100, "digits")
    compute = lambda: features_of(data.tensors("val")[0], extractor, protocol, "cpu")  # noqa: E731
    assert reference_features(data, "val", extractor, 256, "cpu", compute).features.shape == (
        180,
        32,
    )
    for seed in (COMMON, *range(writer * EACH, (writer + 1) * EACH)):
        time = f"2026-01-0{writer + 1}T00:00:00+00:00"
        another = dataclasses.replace(of_seed(record, seed), evaluated_at=time)
        write_record(out, another)
    build(out)


def main(out: Path, record: Record) -> None:
    torch.set_num_threads(1)
    wait, go = os.pipe()
    children = []
    for writer in range(WRITERS):
        children.append(os.fork())
        if not children[-1]:
            code = 1
            try:
                os.close(go)
                os.read(wait, 1)  # ends for all when the parent closes it
                write(writer, out, record)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
    os.close(go)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(max(codes))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Record.from_json(Path(sys.argv[2]).read_text()))
