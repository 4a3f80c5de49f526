"""Which runtime is behind which backend: one that has two names would have everything updated twice."""

from __future__ import annotations

from safeupdater.errors import ConfigurationError, SafeUpdaterError, border
from safeupdater.protocols import Backend


class Runtimes:
    """The runtimes that backends turned out to lead to, by what each calls itself.

    A runtime that does not say who it is counts as different from all others.
    """

    def __init__(self) -> None:
        self._found: dict[str, Backend] = {}

    def add(self, backend: Backend) -> None:
        """Takes in a backend; again, where it was taken in before. One that does not answer is left out.

        Raises:
            ConfigurationError: another backend leads to the same runtime.
        """
        try:
            with border("a backend"):
                identity: str | None = getattr(backend, "runtime_id", None)
                name, host = backend.name, backend.host
        except SafeUpdaterError:
            return
        other = self._found.setdefault(f"{name} {identity}", backend) if identity else backend
        # By one name everything there has one id, and is updated once whoever sees it.
        if other is not backend and other.host != host:
            raise ConfigurationError(
                f"{name} on {other.host} and {name} on {host} are the same runtime by two names, so "
                "everything there would be updated twice: leave one of them out"
            )
