"""The server of wandb, and wandb's own process on this machine."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import urlopen

__all__ = ["end_service", "has_login", "reach_server"]


def has_login() -> bool:
    """Whether there is a login for wandb, in WANDB_API_KEY or in netrc.

    Nobody is asked, neither the user nor the server.
    """
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
        return urlparse(_server()).hostname in netrc.read_text().split()
    except (OSError, RuntimeError, ValueError):
        # There is no file, no home folder, no text or no address.
        return False


def _server() -> str:
    """Address of the wandb server."""
    return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")


def reach_server(seconds: float = 5.0) -> None:
    """Check that the wandb server answers. wandb itself would try for a minute and a half.

    Args:
        seconds: Time for an answer, with name servers and proxies.

    Raises:
        OSError: There is no network, nobody answers in time, or WANDB_BASE_URL is no address.
    """
    server = _server()
    failures = list[Exception]()

    def ask() -> None:
        try:
            with suppress(HTTPError), urlopen(server, timeout=seconds):
                pass
        except Exception as error:
            failures.append(error)

    # The time limit of urlopen does not count while a name server is silent, hence the thread.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    if asking.is_alive():
        raise TimeoutError(f"{server} does not answer within {seconds:.0f} seconds")
    if failures:
        raise OSError(f"{server} cannot be reached: {failures[0]}") from None


def end_service(seconds: float) -> None:
    """End wandb's own process, or leave it alone if it does not end in time.

    That process keeps the id of a run that could not begin, and complains of a broken run at exit.
    The next run of this process gets another process of wandb.

    Args:
        seconds: Time to end.
    """

    def end() -> None:
        with suppress(BaseException):
            import wandb

            wandb.teardown()

    ending = threading.Thread(target=end, daemon=True)
    ending.start()
    ending.join(seconds)
