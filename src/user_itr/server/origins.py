"""Where a request is from: behind proxies that are trusted, and from which site's page."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from user_itr.errors import ConfigError
from user_itr.server.rates import is_loopback

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

FORWARDED = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded")
"""Headers by which proxies say whom they ask for. Of others than trusted proxies they count not."""

OURS = ("same-origin", "none")
"""Values of Sec-Fetch-Site of our own page, and of an address that a person typed or chose."""

WORKING_METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
"""Those that any route answers."""


def networks_of(names: Sequence[str]) -> tuple[Network, ...]:
    """Networks by their addresses and prefixes, as in 10.0.0.0/8; an address is a network of one.

    Raises:
        ConfigError: if one is none.
    """
    found: list[Network] = []
    for name in names:
        try:
            found.append(ipaddress.ip_network(name.strip()))
        except ValueError as error:
            raise ConfigError(
                f"--trust-proxy {name!r}: {error}; give an address or a network, such as "
                "127.0.0.1 or 10.0.0.0/8."
            ) from None
    return tuple(found)


def apply_forwarded(scope: Scope, trusted: Sequence[Network]) -> bool:
    """Put the visitor in a proxy's place, where the proxy is trusted.

    Of X-Forwarded-For the last address counts that is no trusted proxy: what is before it, the
    visitor may have made up.

    Args:
        scope: of the request; its `client` and `scheme` are set.
        trusted: networks of proxies.

    Returns:
        Whether the request comes from a program of this machine that asks for itself.
    """
    headers = Headers(scope=scope)
    peer = (scope.get("client") or ("",))[0]
    if not is_trusted(peer, trusted):
        return is_loopback(peer) and not any(name in headers for name in FORWARDED)
    scheme = headers.get("x-forwarded-proto", "").strip().lower()
    if scheme in ("http", "https"):
        scope["scheme"] = scheme
    client = peer
    for given in reversed(",".join(headers.getlist("x-forwarded-for")).split(",")):
        address = _address(given)
        if address is None:  # nonsense: the one who handed it on is who can be named
            break
        client = address
        if not is_trusted(address, trusted):
            break
    scope["client"] = (client, 0)
    return is_loopback(client) and "x-forwarded-for" not in headers


def is_trusted(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks."""
    try:
        parsed: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(parsed in network for network in networks)


def is_foreign(scope: Scope, trusted: bool) -> bool:
    """Whether another site's page has the browser ask; no program that is no browser does.

    Sec-Fetch-Site decides where it is sent, since the browser knows what the person sees. Browsers
    send it over HTTPS and to this machine; else Origin has to name the host that was asked. A
    person may follow a link to the page from anywhere.

    Args:
        scope: of the request.
        trusted: whether it came by a trusted proxy, whose X-Forwarded-Host counts.
    """
    headers = Headers(scope=scope)
    if scope["method"] not in WORKING_METHODS:
        return False
    site = headers.get("sec-fetch-site")
    if site is not None:
        follows_a_link = (
            scope["method"] in ("GET", "HEAD")
            and headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
            and scope["path"] == f"{scope.get('root_path', '')}/"
        )
        return site not in OURS and not follows_a_link
    origin = headers.get("origin")
    if origin is None:
        return False
    hosts = [headers.get("host", "")]
    if trusted:
        hosts.append(headers.get("x-forwarded-host", "").rpartition(",")[2].strip())
    return not any(_same_host(origin, host) for host in hosts if host)


def apply_root(scope: Scope, root: str) -> None:
    """Let a request be below a sub-path, whether a proxy left that in its path or took it away."""
    if not root:
        return
    path = scope["path"]
    if path != root and not path.startswith(f"{root}/"):
        scope["path"] = root + path
    elif path == root:
        scope["path"] = f"{root}/"
    scope["root_path"] = root


def _address(given: str) -> str | None:
    text = given.strip()
    if text.startswith("["):  # with a port
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def _same_host(origin: str, host: str) -> bool:
    try:
        one, other = urlsplit(origin), urlsplit(f"{urlsplit(origin).scheme}://{host}")
        default = {"http": 80, "https": 443}.get(one.scheme)
        return bool(one.hostname) and (one.hostname, one.port or default) == (
            other.hostname,
            other.port or default,
        )
    except ValueError:
        return False
