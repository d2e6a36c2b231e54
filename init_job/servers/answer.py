"""An answer, whoever gave it, and how it is told."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from init_job import log

_LONGEST_QUOTE = 300  # characters
_LOOKED_AT = 64 * 1024  # bytes
# Bounded: from each of ten thousand beginnings a hostile page would be looked through to its end.
_TITLE = re.compile(rb"<title[^>]{0,200}>(.{0,500}?)</title", re.IGNORECASE | re.DOTALL)
# What the servers say of a new password (contract §3.10); nobody else's words are repeated after one was sent.
_PASSWORD_RULE = re.compile(r"passwords? must (be at least|not exceed) \d+ characters( long)?", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    url: str
    status: int
    headers: Mapping[str, str]
    """Names are case-insensitive."""
    body: bytes
    proxy: str = ""
    """HOST:PORT of the forward proxy that it came through, and that may have given it itself."""
    confidential: bool = False
    """It answers a request with a password, and proxies repeat what they were sent: nothing of it is quoted."""

    @property
    def content_type(self) -> str:
        return _media_type(self.headers.get("content-type", ""))

    @property
    def retry_after(self) -> float:
        """Seconds that the server, or a proxy, asks to be left alone; 0 when it does not say."""
        text = self.headers.get("retry-after", "")
        if text.isascii() and text.isdecimal():
            return float(text)
        if not text:
            return 0.0
        from email.utils import parsedate_to_datetime

        try:
            # Both by the server's clock.
            until, now = (parsedate_to_datetime(date) for date in (text, self.headers.get("date", "")))
            return max(0.0, (until - now).total_seconds())
        except (ValueError, TypeError):
            return 0.0

    @property
    def is_redirect(self) -> bool:
        return 300 <= self.status < 400

    @property
    def target(self) -> str:
        """Where a redirect leads to; empty when it does not say."""
        return self._joined(self.headers.get("location", ""))

    @property
    def begin(self) -> bytes:
        """Enough of the body to tell what it is."""
        return self.body[:_LOOKED_AT]

    def quoted(self, text: str, limit: int = _LONGEST_QUOTE) -> str:
        """What it says, for a message; nothing when it may repeat a password."""
        if self.confidential and not _PASSWORD_RULE.fullmatch(text):
            return ""
        # The beginning of a secret is no longer found: masked first, then cut.
        return log.masked(text).strip()[:limit]

    def __str__(self) -> str:
        """For a message: `answered 404 (text/html: Sign in)`. All is masked before it is taken apart or lower-cased:
        then a secret is no longer found."""
        if self.is_redirect:
            target = urlsplit(self._joined(log.masked(self.headers.get("location", ""))))
            where = "somewhere else"
            if target.scheme in ("http", "https"):
                # Without its query: gates put what they were asked for into it.
                path = "" if self.confidential else target.path[:_LONGEST_QUOTE]
                where = f"{target.scheme}://{target.netloc.rpartition('@')[2]}{path}"
            return f"{self.url} answered {self.status}, a redirect to {where}"
        title = _TITLE.search(self.begin)
        text = (title[1] if title else self.body).decode("utf-8", "replace")
        # Were the white space left, a secret that is cut might come next; without the NULs of UTF-16 it is found.
        text = self.quoted(text.replace("\0", "").strip()[:_LOOKED_AT], 80)
        kind = _media_type(self.quoted(self.headers.get("content-type", ""), 80))
        what = ": ".join(part for part in (kind, text) if part)
        return f"{self.url} answered {self.status} ({what or ('empty' if not self.body else 'something')})"

    def _joined(self, location: str) -> str:
        try:
            return urljoin(self.url, location) if location else ""
        except ValueError:
            return ""


def _media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()
