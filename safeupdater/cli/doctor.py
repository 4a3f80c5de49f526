"""``doctor``: what can be reached, with which rights, what is missing, and what helps."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import click
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from safeupdater._version import __version__
from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker.ourselves import own_container_id
from safeupdater.cli.checks import Check, Health
from safeupdater.cli.exits import Exit
from safeupdater.cli.notices import URL_VARIABLE
from safeupdater.cli.options import Command
from safeupdater.cli.places import shown_store
from safeupdater.cli.rights import ALLOW, rights_of
from safeupdater.cli.session import Session
from safeupdater.cli.tables import bullet
from safeupdater.cli.text import clean, counted, minute
from safeupdater.config.named import BUILT_IN_BACKEND, named_backend, named_facts, named_observer
from safeupdater.domain.artifact import ImageReference
from safeupdater.errors import (
    ConfigurationError,
    PluginError,
    SafeUpdaterError,
    StoreLocked,
    border,
    classify,
)
from safeupdater.observers.webhook import WebhookNotifier
from safeupdater.protocols import Backend, LeaseSeen, StateStore, TagSource
from safeupdater.registries.oci import RateLimit
from safeupdater.update.inventory import Inventory
from safeupdater.update.standing import Standing, standings

_MARKS = {Health.OK: ("✓", "green"), Health.WARNING: ("!", "yellow"), Health.FAILED: ("✗", "bold red")}


@click.command(cls=Command)
@click.option("--no-registries", is_flag=True, help="Do not ask registries.")
@click.pass_obj
def doctor(session: Session, no_registries: bool) -> int:
    """Say what can be reached, with which rights, and what fails."""
    checks = list(_checks(session, ask_registries=not no_registries))
    document = {
        "version": __version__,
        "checks": [
            {
                "subject": check.subject,
                "status": str(check.health),
                "detail": check.detail,
                "remedy": check.remedy,
            }
            for check in checks
        ],
    }
    session.result("Diagnosis", document, *_shown(checks))
    return Exit.FAILURE if any(check.health is Health.FAILED for check in checks) else Exit.DONE


def _shown(checks: list[Check]) -> Iterator[RenderableType]:
    for check in checks:
        lines = [Text(clean(check.detail))]
        if check.remedy:
            lines.append(Text(f"→ {clean(check.remedy)}", style="cyan"))
        yield bullet(*_MARKS[check.health], check.subject)
        yield Padding(Lines(*lines), (0, 0, 0, 4), expand=False)


def _checks(session: Session, *, ask_registries: bool) -> Iterator[Check]:
    yield _policy(session)
    yield from _state(session, ask_registries=ask_registries)
    if session.world.backends is not None:
        yield from (_backend(backend) for backend in session.world.backends)
    else:
        for spec in session.options.backends or (BUILT_IN_BACKEND,):
            yield from _runtime(spec, session)
    yield from _plugins(session)
    if session.world.environ.get(URL_VARIABLE):
        yield _webhook(session.world.environ[URL_VARIABLE])


def _failed(subject: str, error: SafeUpdaterError, remedy: str) -> Check:
    return Check(subject=subject, health=Health.FAILED, detail=str(error), remedy=remedy)


def _policy(session: Session) -> Check:
    try:
        found = session.policy()
    except ConfigurationError as error:
        return _failed("policy", error, "correct the file; safeupdater policy check FILE names every place")
    return Check(subject="policy", health=Health.OK, detail=f"{found.source}")


# --- state ------------------------------------------------------------------------------------------------


def _state(session: Session, *, ask_registries: bool) -> Iterator[Check]:
    try:
        url = shown_store(session.store_url)
        with contextlib.ExitStack() as stack:
            store, in_use = _opened(session, stack)
            yield Check(subject="state", health=Health.OK, detail=url + in_use)
            yield from _unfinished(store)
            if ask_registries:
                yield from _registries(session, Inventory(store))
    except ConfigurationError as error:
        yield _failed("state", error, "correct --store or the variables of the environment")
    except SafeUpdaterError as error:
        yield _failed("state", error, "name a place that can be written with --store, such as sqlite:///PATH")


def _opened(session: Session, stack: contextlib.ExitStack) -> tuple[StateStore, str]:
    """The store, and whose turn it is where it has one writer at a time, who is not us."""
    try:
        return stack.enter_context(session.store()), ""
    except StoreLocked as locked:
        who = f"process {locked.pid}" if locked.pid else "another process"
        return stack.enter_context(session.store(reading=True)), f" (in use by {who}: only read now)"


def _unfinished(store: StateStore) -> Iterator[Check]:
    """What is under way is well; what nobody works on, or what waits for a person, is not."""
    found = standings(store)
    held = [item for item in found if item.held is not None]
    waiting = [item for item in found if item.waits_for_a_person]
    abandoned = [item for item in found if item not in held and item not in waiting]
    if held:
        yield Check(subject="operations under way", health=Health.OK, detail=_listed(held))
    if abandoned:
        yield Check(
            subject="unfinished operations",
            health=Health.WARNING,
            detail=f"{_listed(abandoned)}, abandoned",
            remedy="safeupdater recover finishes what was interrupted",
        )
    if waiting:
        yield Check(
            subject="operations that wait for you",
            health=Health.WARNING,
            detail=_listed(waiting),
            remedy="safeupdater resolve decides what waits for a person",
        )


def _listed(items: Sequence[Standing]) -> str:
    names = ", ".join(item.opened.target_id + _by(item.held) for item in items)
    return f"{counted(len(items), 'operation')}: {names}"


def _by(held: LeaseSeen | None) -> str:
    return f" (by {held.host} until {minute(held.until)})" if held is not None else ""


def _registries(session: Session, inventory: Inventory) -> Iterator[Check]:
    """Each registry that something running comes from, asked for the tags of one image."""
    samples: dict[str, ImageReference] = {}
    for asset in inventory.assets():
        if isinstance(asset.image, ImageReference) and not asset.metadata.get("local_build"):
            samples.setdefault(asset.image.registry, asset.image)
    try:
        answers = session.tags.lookup_many(samples.values()) if samples else {}
    except PluginError:
        return  # told of with the other plugins
    for registry, image in sorted(samples.items()):
        answer = answers[image.name]
        if isinstance(answer, SafeUpdaterError):
            remedy = _registry_remedy(registry, answer)
            yield Check(
                subject=f"registry {registry}", health=Health.WARNING, detail=str(answer), remedy=remedy
            )
        else:
            detail = f"{counted(len(answer), 'tag')} of {image.familiar}{_allowance(session.tags, registry)}"
            yield Check(subject=f"registry {registry}", health=Health.OK, detail=detail)


def _allowance(tags: TagSource, registry: str) -> str:
    """What the registry said is left of our allowance, where it says so."""
    ask: Callable[[], Mapping[str, RateLimit]] = getattr(tags, "rate_limits", dict)
    limit = ask().get(registry)
    if limit is None or limit.limit is None or limit.remaining is None:
        return ""
    per = f" in {limit.window_s / 3600:g} h" if limit.window_s else ""
    return f"; {limit.remaining} of {limit.limit} requests left{per}"


def _registry_remedy(registry: str, error: SafeUpdaterError) -> str:
    if classify(error).value == "transient":
        return "try again later"
    return f"images of your own need a login (docker login {registry}); a locally built one has no registry"


# --- runtimes ---------------------------------------------------------------------------------------------


def _runtime(spec: str, session: Session) -> Iterator[Check]:
    try:
        backend = named_backend(spec, session.world.environ)
    except ConfigurationError as error:
        yield _failed("docker", error, "correct DOCKER_HOST and its companions, or --backend")
        return
    except SafeUpdaterError as error:
        yield _failed(f"backend {spec}", error, "correct --backend, or the package that offers it")
        return
    if isinstance(backend, DockerBackend):
        yield from _docker(backend, session)
        return
    try:
        yield _backend(backend, f"backend {spec}")
    finally:
        backend.close()


def _docker(backend: DockerBackend, session: Session) -> Iterator[Check]:
    subject = f"docker at {backend.api.written_url}"
    try:
        yield from _daemon(backend, session)
    except SafeUpdaterError as error:
        yield _failed(subject, error, _docker_remedy(error))
        if error.code == "forbidden":
            # What is found would be the same failure once more; the rights say what is missing.
            yield from _until_failure(rights_of(backend), subject)
    else:
        yield from _until_failure(itertools.chain(rights_of(backend), _found(backend)), subject)
    finally:
        backend.close()


def _until_failure(checks: Iterator[Check], subject: str) -> Iterator[Check]:
    try:
        yield from checks
    except SafeUpdaterError as error:
        yield _failed(subject, error, _docker_remedy(error))


def _docker_remedy(error: SafeUpdaterError) -> str:
    return (
        ALLOW if error.code == "forbidden" else "name another daemon with DOCKER_HOST or --backend ALIAS=URL"
    )


def _daemon(backend: DockerBackend, session: Session) -> Iterator[Check]:
    version, platform = backend.scanner.version.version, backend.scanner.platform
    api = ".".join(str(part) for part in backend.api.version)
    inside = own_container_id()
    where = f", and we run in container {inside[:12]} (left alone)" if inside else ""
    yield Check(
        subject=f"docker at {backend.api.written_url}",
        health=Health.OK,
        detail=f"version {version}, API {api}, {platform}, host {backend.host}{where}",
    )


def _found(backend: Backend) -> Iterator[Check]:
    report = backend.scan()
    where = f"containers on {backend.host}"
    yield Check(subject=where, health=Health.OK, detail=counted(len(report.assets), "container"))
    for problem in report.problems:
        yield Check(subject=where, health=Health.WARNING, detail=problem)


def _backend(backend: Backend, subject: str = "") -> Check:
    try:
        with border("this backend"):
            subject = f"{backend.name} on {backend.host}"
            report = backend.scan()
    except SafeUpdaterError as error:
        return _failed(subject, error, "see that it runs and answers")
    return Check(subject=subject, health=Health.OK, detail=counted(len(report.assets), "asset"))


def _plugins(session: Session) -> Iterator[Check]:
    """The other plugins that are named: whether they can be had, for nothing else is asked of them here."""
    options, environ = session.options, session.world.environ
    makers: list[tuple[str, Callable[[], object]]] = [
        *((f"facts {name}", partial(named_facts, (name,), environ)) for name in options.facts),
        *((f"observer {name}", partial(named_observer, name, environ)) for name in options.observers),
    ]
    if options.registry:
        makers.append((f"registry plugin {options.registry}", lambda: session.tags))
    for subject, make in makers:
        try:
            made = make()
        except SafeUpdaterError as error:
            yield _failed(subject, error, "correct the name, or the package that offers it")
        else:
            yield Check(subject=subject, health=Health.OK, detail=type(made).__name__)


def _webhook(url: str) -> Check:
    try:
        notifier = WebhookNotifier(url)
    except ConfigurationError as error:
        return _failed("webhook", error, f"correct {URL_VARIABLE}")
    return Check(subject="webhook", health=Health.OK, detail=f"{notifier!r}; nothing was sent to it")
