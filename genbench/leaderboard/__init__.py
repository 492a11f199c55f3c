"""From records to tables, plots and one page. Everything regenerates byte for byte; nothing here
needs torch.
"""

from __future__ import annotations

from genbench.leaderboard.formats import render_tables, write_board
from genbench.leaderboard.page import build, write_page
from genbench.records.record import Record, record_id
from genbench.records.store import record_path, records_in, write_record

__all__ = [
    "Record",
    "build",
    "record_id",
    "record_path",
    "records_in",
    "render_tables",
    "write_board",
    "write_page",
    "write_record",
]
