"""Every tag of a repository, all or nothing: pages are followed as the registry says, and checked."""

from __future__ import annotations

import re

import attrs
import msgspec

from safeupdater.domain.artifact import is_tag
from safeupdater.errors import MalformedResponse, RegistryError
from safeupdater.registries.oci.egress import Url, check_next_page
from safeupdater.registries.oci.failures import Asked
from safeupdater.registries.oci.network import Deadline
from safeupdater.registries.oci.session import RegistrySession

# Large pages first; some registries refuse more than 100 (Quay) with a 400 or 405.
_PAGE_SIZES = (1000, 100)
_NEXT = re.compile(r'<([^<>]*)>\s*((?:;\s*[A-Za-z]+\s*=\s*(?:"[^"]*"|[^\s";,]+)\s*)*)(?:,|$)')
_REL_NEXT = re.compile(r';\s*rel\s*=\s*(?:"next"|next)\s*(?:;|$)', re.IGNORECASE)
_MAX_LINK = 8192


class _Page(msgspec.Struct):
    tags: list[str] | None


@attrs.define
class _Listing:
    """The pages so far. A dict keeps the registry's order and drops what a moving cursor repeats."""

    tags: dict[str, None] = attrs.field(factory=dict)
    visited: set[str] = attrs.field(factory=set)
    bytes_left: int = 0


def list_tags(session: RegistrySession, repository: str, deadline: Deadline) -> tuple[str, ...]:
    """Every tag of a repository, in the registry's order (OCI distribution 1.1, "Listing Tags").

    Raises:
        RegistryError: any page failed, leads elsewhere, repeats itself or goes on for ever. What was read
            until then is dropped: part of a listing looks like another newest version.
    """
    asked = session.asked(repository, "tag list")
    listing = _Listing(bytes_left=session.limits.listing_bytes)
    url: Url | None = session.url(f"/v2/{repository}/tags/list?n={_PAGE_SIZES[0]}")
    while url is not None:
        listing.visited.add(url.target)
        url = _read_page(session, asked, url, listing, deadline)
    if not listing.tags:
        raise RegistryError(
            f"{session.registry} lists no tags for {repository}: check the repository, or try again later",
            code="suspicious_listing", registry=session.registry, repository=repository,
        )  # fmt: skip
    return tuple(listing.tags)


def _read_page(
    session: RegistrySession, asked: Asked, url: Url, listing: _Listing, deadline: Deadline
) -> Url | None:
    """Adds one page; the address of the next one, None at the end."""
    limits = session.limits
    try:
        page = session.ask(asked, url, deadline, limit_bytes=listing.bytes_left)
    except RegistryError as error:
        if len(listing.visited) == 1 and error.evidence.get("status") in (400, 405):
            return _smaller_page(session, asked.repository, listing, error)
        raise
    listing.bytes_left -= len(page.body)
    before = len(listing.tags)
    _add_tags(listing, page.body, asked)
    if len(listing.tags) > limits.tags:
        raise _broken(asked, f"has more than {limits.tags} tags", code="too_large")
    link = next_link(page.headers.get("link"))
    if link is None:
        return None
    following = page.url.join(link)
    check_next_page(following, page.url, asked.repository)
    if following.target in listing.visited or (len(listing.tags) == before and before > 0):
        raise _broken(asked, "repeats itself")
    if len(listing.visited) >= limits.pages:
        raise _broken(asked, f"has more than {limits.pages} pages", code="too_large")
    return following


def _smaller_page(session: RegistrySession, repository: str, listing: _Listing, error: RegistryError) -> Url:
    url = session.url(f"/v2/{repository}/tags/list?n={_PAGE_SIZES[1]}")
    if url.target in listing.visited:
        raise error
    return url


def _add_tags(listing: _Listing, body: bytes, asked: Asked) -> None:
    try:
        tags = msgspec.json.decode(body, type=_Page).tags or ()
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise _broken(asked, "is not a list of tags in JSON") from error.with_traceback(None)
    if not all(map(is_tag, tags)):
        raise _broken(asked, "holds something that is no tag")
    listing.tags.update(dict.fromkeys(tags))


def next_link(header: str | None) -> str | None:
    """The target of the ``rel="next"`` link (RFC 8288), verbatim; None where there is none.

    Raises:
        MalformedResponse: the header is there and cannot be read; taking it for the last page would cut
            the listing short.
    """
    if header is None or not header.strip():
        return None
    links = list(_NEXT.finditer(header)) if len(header) <= _MAX_LINK else []
    targets = [link[1] for link in links if _REL_NEXT.search(link[2])]
    if not links or (not targets and "next" in header) or len(targets) > 1 or targets == [""]:
        raise MalformedResponse("a tag list continues at a Link that cannot be read: try again later")
    return targets[0] if targets else None


def _broken(asked: Asked, what: str, *, code: str | None = None) -> MalformedResponse:
    return MalformedResponse(
        f"the {asked} {what}: nothing of it is used; try again later or report it to the registry",
        code=code, registry=asked.registry, repository=asked.repository,
    )  # fmt: skip
