"""Who may be talked to, and who may be told a secret: every egress rule of the registry client.

What a registry says (token realm, ``Link``, ``Location``) is untrusted. Three questions are answered here
and nowhere else: is this a URL that every parser reads alike, may a connection go to this address, and may
this origin get the credentials of that registry.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Iterable

import attrs

from safeupdater.errors import RegistryError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class EgressDenied(RegistryError):
    """A registry pointed somewhere that we do not go, or asked for a secret that is not for it."""

    code = "egress_denied"


# --- URLs -------------------------------------------------------------------------------------------------

# One strict grammar instead of a parser: no userinfo, backslash, control character, fragment, percent sign
# or non-ASCII letter in the host, so that no two parsers can disagree about who is meant.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?"
    r"(?:\?(?P<query>[A-Za-z0-9._~!$&'()*+,;=:@%/?|{}\[\]-]*))?",
    re.ASCII,
)
_NUMERIC_LABEL = re.compile(r"0[xX][0-9A-Fa-f]*|[0-9]+")
_MAX_URL = 8192
_DEFAULT_PORTS = {"http": 80, "https": 443}


@attrs.frozen
class Origin:
    """Scheme, host and port: what credentials are bound to."""

    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        """``host`` or, for another than the usual port, ``host:port``."""
        return self.host if self.port == _DEFAULT_PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def is_loopback_name(self) -> bool:
        """Whether the host is this machine by its very name, whatever a resolver says."""
        return is_loopback_host(self.host)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


@attrs.frozen
class Url:
    """A checked URL. ``target`` is path and query, verbatim as they were written."""

    origin: Origin
    path: str
    query: str | None = None

    @property
    def target(self) -> str:
        """What stands in the request line."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    def __str__(self) -> str:
        # Without the query: signed blob addresses and cursors are secrets of their kind.
        return f"{self.origin}{self.path}"

    def join(self, reference: str) -> Url:
        """The URL that a ``Link`` or ``Location`` names from here, its path and query verbatim.

        Raises:
            EgressDenied: it is not a URL that every parser reads alike.
        """
        if reference.startswith("/") and not reference.startswith("//"):
            return parse_url(f"{self.origin}{reference}")
        if reference.startswith("?"):
            return parse_url(f"{self.origin}{self.path}{reference}")
        return parse_url(reference)


def parse_url(text: str) -> Url:
    """A URL by the strict grammar above.

    Raises:
        EgressDenied: the text is anything else.
    """
    match = _URL.fullmatch(text) if len(text) <= _MAX_URL else None
    if match is None:
        raise EgressDenied(f"{_shown(text)} is not an absolute http(s) URL in plain ASCII: not followed")
    scheme, host = match["scheme"], match["host"].lower()
    port = int(match["port"]) if match["port"] else _DEFAULT_PORTS[scheme]
    if not 0 < port < 65536 or not _is_canonical(host):
        raise EgressDenied(f"{_shown(text)} names its host or port in an ambiguous way: not followed")
    return Url(Origin(scheme, host, port), match["path"] or "/", match["query"])


def _is_canonical(host: str) -> bool:
    """Whether a host is a name, or an address as everybody writes it (not ``127.1``, ``0x7f.1``)."""
    if host.startswith("["):
        return _address(host[1:-1]) is not None
    if ".." in host:
        return False
    if _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]) is None:
        return True
    return _address(host) is not None


def _address(text: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _shown(text: str) -> str:
    """A hostile URL, safe to print: no query, no control characters, no userinfo, short."""
    bare = re.sub(r"//[^/@]*@", "//…@", text.partition("?")[0])
    return ascii(bare if len(bare) <= 80 else bare[:77] + "...")


# --- addresses --------------------------------------------------------------------------------------------


class Reach(enum.Enum):
    """What kind of place an address is."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    FORBIDDEN = "forbidden"
    """Link-local, cloud metadata, multicast, reserved: no registry is ever there."""


# What cloud hosts answer with their own credentials, outside the link-local ranges.
_METADATA = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)
_PRIVATE = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)
# Tunnels that carry an IPv4 address inside: nothing that we use is reached through them.
_TUNNELS = tuple(map(ipaddress.ip_network, ("2002::/16", "2001::/32", "::/96", "64:ff9b:1::/48")))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def classify_address(address: IPAddress) -> Reach:
    """The kind of place that an address is; an IPv4 address inside an IPv6 one counts as itself."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return classify_address(inner)
    if address in _METADATA:
        return Reach.FORBIDDEN
    if address.is_loopback:
        return Reach.LOOPBACK
    if any(address in network for network in _TUNNELS) or address.is_unspecified:
        return Reach.FORBIDDEN
    if any(address in network for network in _PRIVATE):
        return Reach.PRIVATE
    return Reach.PUBLIC if address.is_global and not address.is_multicast else Reach.FORBIDDEN


def check_addresses(host: str, addresses: Iterable[str], allowed: frozenset[Reach]) -> None:
    """Passes when every address that a name resolved to may be connected to; one bad one spoils all.

    Raises:
        EgressDenied: at least one address is of a kind that is not allowed here, or there is none.
    """
    kinds = {text: kind_of(text) for text in addresses}
    denied = sorted(text for text, kind in kinds.items() if kind not in allowed)
    if denied or not kinds:
        kind = kinds[denied[0]].value if denied else "no"
        raise EgressDenied(
            f"{host} resolves to a {kind} address, where this registry may not send us: declare the "
            "registry in RegistrySettings if that is intended",
            host=host,
            addresses=denied,
        )


def kind_of(text: str) -> Reach:
    """The kind of place of an address in text; what is no address is forbidden."""
    address = _address(text.partition("%")[0])
    return Reach.FORBIDDEN if address is None else classify_address(address)


def is_loopback_host(host: str) -> bool:
    """Whether a host is this machine by name: ``localhost``, ``*.localhost``, 127.0.0.0/8, ``[::1]``."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host.strip("[]"))
    return address is not None and address.is_loopback


def reach_of_registry(origin: Origin, *, declared: bool) -> frozenset[Reach]:
    """Where a registry that the user names may be: anywhere honest, on loopback only by name or declared."""
    if origin.is_loopback_name:
        return frozenset({Reach.LOOPBACK})
    return frozenset({Reach.PUBLIC, Reach.PRIVATE, *([Reach.LOOPBACK] if declared else [])})


def reach_from(registry: Reach) -> frozenset[Reach]:
    """Where a registry may send us: to public addresses, and to its own kind of place."""
    return frozenset({Reach.PUBLIC, registry})


# --- who gets what ----------------------------------------------------------------------------------------

# Registries whose token service lives under another name.
_TOKEN_HOSTS = {"registry-1.docker.io": frozenset({"auth.docker.io"})}

# Below these suffixes neighbours are strangers to one another.
_SHARED_SUFFIXES = frozenset(
    {
        "amazonaws.com", "azurecr.io", "azurewebsites.net", "cloudfront.net", "cr.aws", "fly.dev", "gcr.io",
        "github.io", "gitlab.io", "googleapis.com", "googleusercontent.com", "herokuapp.com", "jfrog.io",
        "netlify.app", "ngrok.io", "onrender.com", "pages.dev", "pkg.dev", "run.app", "vercel.app",
        "workers.dev", "windows.net",
    }
)  # fmt: skip
_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gov", "net", "or", "ne", "go", "org", "gob", "nom"})


def check_token_realm(realm: Url, registry: Origin, *, plain_http: bool) -> None:
    """Passes when a token may be asked for there at all, even without credentials.

    Raises:
        EgressDenied: the realm is plain HTTP although the registry is not, or would leave the machine.
    """
    if realm.origin.scheme == "https" or realm.origin == registry:
        return
    if registry.scheme == "https":
        raise EgressDenied(f"{registry} wants tokens fetched over plain HTTP from {realm}: refused")
    if not (plain_http or realm.origin.is_loopback_name):
        raise EgressDenied(f"{realm} is plain HTTP and not declared: no token is asked for there")


def may_have_credentials(target: Origin, registry: Origin, token_hosts: frozenset[str]) -> bool:
    """Whether an origin may be shown the credentials of a registry.

    It may when it is the registry's own origin, the known token service of that registry, a sibling under
    the same domain of one owner (both HTTPS on the usual port), or declared in ``token_hosts``.
    """
    if target == registry or target.netloc in token_hosts:
        return True
    if target.scheme != "https" or registry.scheme != "https" or target.port != 443 or registry.port != 443:
        return False
    return target.host in _TOKEN_HOSTS.get(registry.host, ()) or _are_siblings(target.host, registry.host)


def _are_siblings(host: str, registry: str) -> bool:
    """Whether both are under one registrable domain, told without a public suffix list: when in doubt, no."""
    parent = registry.partition(".")[2]
    labels = parent.split(".")
    if _address(registry) is not None or len(labels) < 2 or parent in _SHARED_SUFFIXES:
        return False
    if any(parent.endswith(f".{suffix}") for suffix in _SHARED_SUFFIXES):
        return False
    if len(labels) == 2 and len(labels[1]) == 2 and (labels[0] in _SECOND_LEVEL or len(labels[0]) <= 2):
        return False
    return host == parent or host.endswith(f".{parent}")


def check_next_page(link: Url, page: Url, repository: str) -> None:
    """Passes when a ``Link`` leads to another page of the same listing at the same origin.

    Raises:
        EgressDenied: it leads elsewhere.
    """
    if link.origin != page.origin:
        raise EgressDenied(f"the tag list of {page.origin} continues at {link.origin}: not followed")
    if link.path not in (page.path, f"/v2/{repository}/tags/list"):
        raise EgressDenied(f"the tag list of {repository} continues outside of itself: not followed")


def check_redirect(target: Url, source: Url) -> None:
    """Passes when a redirect does not weaken the transport.

    Raises:
        EgressDenied: it leads from HTTPS to HTTP, or from HTTP on this machine to HTTP elsewhere.
    """
    if target.origin.scheme == "https" or target.origin == source.origin:
        return
    if source.origin.scheme == "https" or not target.origin.is_loopback_name:
        raise EgressDenied(f"{source.origin} redirects to plain HTTP at {target.origin}: not followed")
