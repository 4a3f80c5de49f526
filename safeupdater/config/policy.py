"""What may happen to which asset: a policy, loaded once and asked by everybody."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import attrs

from safeupdater.config.document import Document, read_document
from safeupdater.config.effective import BUILT_IN, asset_policy, merge
from safeupdater.config.explain import Explanation, MatchedRule, settings_of
from safeupdater.config.matching import Matcher, matcher, words
from safeupdater.config.nodes import Plain, Problems, from_python
from safeupdater.config.store_settings import STORE_SETTINGS
from safeupdater.domain.asset import Asset
from safeupdater.domain.plan import fingerprint
from safeupdater.domain.settings import JournalRetention
from safeupdater.protocols import AssetPolicy

ENVIRONMENT_VARIABLE = "SAFEUPDATER_POLICY"
FILE_NAME = "policy.yaml"
_REMEMBERED = 1024


@attrs.frozen(repr=False, eq=False)
class Policy:
    """A policy: settings for every asset, and rules that change them for some.

    Immutable and safe to share between threads; two that say the same are equal. Make one with ``load``,
    ``from_dict``, ``default`` or ``find``.

    >>> policy = Policy.from_dict({"semver_gates": {"patch": "review"}})
    >>> policy.defaults().enabled
    True
    """

    _document: Document
    source: str = "built-in"
    """Where it was read, for messages: a path, ``mapping`` or ``built-in``."""
    _stamp: tuple[int, ...] | None = None
    """What tells one state of its file from another; None where it has no file."""
    _path: str = ""
    """Its file, wherever one stands."""
    _matchers: tuple[Matcher, ...] = attrs.field(
        default=attrs.Factory(lambda self: _matchers_of(self._document), takes_self=True), init=False
    )
    _effective: _Effective = attrs.field(
        default=attrs.Factory(lambda self: _Effective(self._document), takes_self=True), init=False
    )

    # --- making

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        """The policy in a YAML file: a regular file of at most 1 MiB that not everybody can write.

        Raises:
            ConfigurationError: the file cannot be used; ``problems`` lists everything that is wrong
                with it at once, each with line and column.
        """
        from safeupdater.config.load import read_nodes  # brings PyYAML

        source = os.fspath(path)
        stamp = _stamp_of(source)  # before it is read: what is written meanwhile is read again
        document = read_document(read_nodes(path), Problems(source))
        return cls(document, source, stamp, os.path.abspath(source))

    @property
    def origin(self) -> str:
        """What tells its source from any other: the whole path of its file, else ``source``."""
        return self._path or self.source

    def reread(self) -> Policy:
        """The policy as its file says it now: this very one while that is untouched, or where there is none.

        Raises:
            ConfigurationError: as ``load``.
        """
        if self._stamp is None or _stamp_of(self.source) == self._stamp:
            return self
        return Policy.load(self.source)

    @classmethod
    def from_dict(cls, mapping: Mapping[str, object]) -> Policy:
        """The policy that a mapping of the same shape as a file is.

        Raises:
            ConfigurationError: the mapping cannot be used; everything that is wrong with it at once.
        """
        problems = Problems()
        return cls(read_document(from_python(mapping, problems), problems), "mapping")

    @classmethod
    def default(cls) -> Policy:
        """The built-in policy."""
        return cls(Document())

    @classmethod
    def find(
        cls,
        explicit: str | os.PathLike[str] | None = None,
        environ: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
    ) -> Policy:
        """The policy to use: the explicit file, else that of ``SAFEUPDATER_POLICY``, else ``policy.yaml``
        in the working directory, else the built-in one.

        An empty variable counts as unset. A file that is there but cannot be used is an error, never a
        reason to look further.

        Raises:
            ConfigurationError: the file cannot be used.
        """
        if explicit is not None:
            return cls.load(explicit)
        if named := (os.environ if environ is None else environ).get(ENVIRONMENT_VARIABLE):
            return cls.load(named)
        path = Path(cwd or ".") / FILE_NAME
        try:
            path.lstat()
        except FileNotFoundError:
            return cls.default()
        except OSError:
            pass  # it may be there: loading says what is wrong
        return cls.load(path)

    # --- asking

    def for_asset(self, asset: Asset) -> AssetPolicy:
        """What holds for one asset: every rule that matches, in order, over the top level.

        Raises:
            PluginError: a plugin gate that it names cannot be had.
        """
        return self._effective.policy(self._matching(asset))

    def defaults(self) -> AssetPolicy:
        """What holds where no rule matches.

        Raises:
            PluginError: a plugin gate that it names cannot be had.
        """
        return self._effective.policy(())

    @property
    def retention(self) -> JournalRetention:
        """How long the past is kept: journals, approvals and plans of the whole store."""
        return STORE_SETTINGS.value(self._document.of_store).retention.policy()

    def explain(self, asset: Asset) -> Explanation:
        """Which rules match an asset, and who set what."""
        matching = self._matching(asset)
        rules = self._document.rules
        layers = [
            ("built-in", BUILT_IN),
            ("top level", self._document.settings),
            *((f"rules[{index}]", rules[index].settings) for index in matching),
        ]
        return Explanation(
            asset_id=asset.id,
            source=self.source,
            fingerprint=fingerprint(self._effective.plain(matching)),
            rules=tuple(MatchedRule(index=index, match=words(rules[index].match)) for index in matching),
            settings=settings_of(layers),
        )

    def _matching(self, asset: Asset) -> tuple[int, ...]:
        return tuple(index for index, rule in enumerate(self._matchers) if rule.matches(asset))

    # --- as data

    def to_dict(self) -> dict[str, Plain]:
        """The policy in canonical form: ``from_dict`` of it gives an equal one."""
        return copy.deepcopy(self._document.plain())

    @property
    def fingerprint(self) -> str:
        """The hash of the whole policy in canonical form; rules that match nothing count here."""
        return fingerprint(self._document.plain())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and self._document.plain() == other._document.plain()

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        count = len(self._document.rules)
        return f"<Policy {self.source!a}, {count} rule{'s' if count != 1 else ''}, {self.fingerprint[:12]}>"


def _stamp_of(path: str) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _matchers_of(document: Document) -> tuple[Matcher, ...]:
    return tuple(matcher(rule.match) for rule in document.rules)


class _Effective:
    """The effective policies of a document, by the rules that match; the latest 1024 are remembered."""

    def __init__(self, document: Document) -> None:
        self._base = merge(BUILT_IN, document.settings)
        self._rules = tuple(rule.settings for rule in document.rules)
        self.policy = lru_cache(maxsize=_REMEMBERED)(self._policy)

    def plain(self, matching: tuple[int, ...]) -> dict[str, Plain]:
        """The merged settings in canonical plain form."""
        settings = self._base
        for index in matching:
            settings = merge(settings, self._rules[index])
        return settings

    def _policy(self, matching: tuple[int, ...]) -> AssetPolicy:
        return asset_policy(copy.deepcopy(self.plain(matching)))
