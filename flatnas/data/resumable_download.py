"""An HTTPS download that goes on where it was cut (RFC 9110, section 14: range requests)."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from flatnas.data.progress import Progress
from flatnas.errors import DataError

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

_TIMEOUT_S = 30.0  # without a single byte
_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


def download(url: str, part: Path, progress: Progress, *, most_bytes: int) -> None:
    """Append to `part` what it lacks of the file at `url`; a cut connection is taken up again while that brings bytes.

    The caller verifies the content: a part of another version of the file is not noticed here.

    Args:
        most_bytes: of the file; what a server sends beyond is not taken.

    Raises:
        DataError: no connection, an error status, a redirect to a place that is not encrypted, or cut again without a
            byte more; `part` is kept for the next call.
        OSError: `part` can't be written.
    """
    import httpx

    reached = part.stat().st_size if part.exists() else 0
    with httpx.Client(follow_redirects=True, timeout=_TIMEOUT_S, event_hooks={"request": [_refuse_plain]}) as client:
        while True:
            try:
                _attempt(client, url, part, progress, most_bytes)
                return
            except httpx.HTTPStatusError as error:
                raise DataError(f"{url} answered {error.response.status_code}") from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                size_bytes = part.stat().st_size if part.exists() else 0
                if size_bytes <= reached:
                    kept = f" after {size_bytes:,} bytes, which are kept" if size_bytes else ""
                    raise DataError(f"{url} failed{kept} ({str(error) or type(error).__name__})") from error
                log.info("cut after %d bytes (%s), going on", size_bytes, error)
                reached = size_bytes


def _refuse_plain(request: httpx.Request) -> None:
    """Refuse what anybody on the way could read and change, at the start and after each redirect."""
    if request.url.scheme != "https" and request.url.host not in _THIS_MACHINE:
        raise DataError(f"{request.url} is not encrypted: downloads are taken over https alone")


def _attempt(client: httpx.Client, url: str, part: Path, progress: Progress, most_bytes: int) -> None:
    """One request for the rest of the file."""
    done = part.stat().st_size if part.exists() else 0
    # identity: some servers label a .tar.gz as gzip-encoded, and a range is of the bytes as sent
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={done}-"} if done else {})}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == 416 and done:
            return  # nothing lies beyond what is here
        response.raise_for_status()
        if not _continues(response, done):
            done = 0
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else None
        with part.open("ab" if done else "wb") as file:
            progress(done, total)
            for chunk in response.iter_raw():  # as it comes: a chunk size would hold back, and lose, bytes at a cut
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
                if done > most_bytes:
                    return


def _continues(response: httpx.Response, done: int) -> bool:
    """Whether the body starts at byte `done`; a server without ranges sends everything, with status 200."""
    start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return response.status_code == 206 and start is not None and int(start[1]) == done
