"""The facade: scan, plan, approve, apply, recover, with everything beneath it wired together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from importlib import import_module
from types import MappingProxyType, TracebackType
from typing import Any, Self

import attrs

from safeupdater.analysis import SemVerAnalyzer
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.domain.notice import ScanFinished, Severity
from safeupdater.domain.operation import Outcome, Resolution
from safeupdater.domain.plan import Approval, Plan, PlannedUpdate, UnknownAsset
from safeupdater.errors import (
    ConfigurationError,
    PluginError,
    SafeUpdaterError,
    StoreError,
    UpdateError,
    border,
)
from safeupdater.gates.attempts import REFUSED_BEFORE
from safeupdater.protocols import (
    Admission,
    AssetPolicy,
    Backend,
    Clock,
    FactSource,
    HealthChecks,
    Hooks,
    Observer,
    PolicySource,
    ScanReport,
    StateStore,
    TagSource,
)
from safeupdater.update.admission import Limits, LocalAdmission
from safeupdater.update.executor import Progressed, UpdateExecutor
from safeupdater.update.facts import StoreFacts
from safeupdater.update.guarded import (
    GuardedAdmission,
    GuardedBackend,
    GuardedFacts,
    GuardedHooks,
    GuardedTags,
    guarded,
    unguarded,
)
from safeupdater.update.inventory import Inventory
from safeupdater.update.listings import SILENT_ROUNDS, ListingMemory
from safeupdater.update.notifier import Notifier
from safeupdater.update.planning import plan_updates
from safeupdater.update.policies import AskedPolicy
from safeupdater.update.preview import Preview
from safeupdater.update.result import AbortAnswer, OperationResult
from safeupdater.update.retention import JournalRetention
from safeupdater.update.review import PolicyReview
from safeupdater.update.rollback import RollbackManager
from safeupdater.update.runtimes import Runtimes
from safeupdater.update.volatile import is_volatile, warn_of_volatile

REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "unauthorized": "log in to the registry again (docker login), then see safeupdater doctor",
        "forbidden": "let the login read this repository, or allow it no longer in the policy",
        "credential_helper": "see safeupdater doctor: the credential helper has to work for this user",
        "bad_credentials_file": "see safeupdater doctor: the file with logins cannot be read",
        "tls_error": "renew the certificate, or name its authority with ca_file",
        "suspicious_listing": "look at the repository; where the list is right: safeupdater state forget "
        "REPOSITORY",
    }
)
"""Why nothing can be said of an asset that waiting does not mend, and what to do about it."""
_LONGEST_APPROVAL_S = 365 * 86_400.0


@attrs.frozen(kw_only=True)
class Scan:
    """What a scan of every backend saw; ``problems`` names the backends that did not answer."""

    assets: tuple[Asset, ...]
    finished: tuple[ScanFinished, ...] = ()
    problems: tuple[str, ...] = ()


class Updater:
    """Keeps what runs on some backends up to date, by one policy, with one store.

    Everything has a default: the policy is looked for as the command line does, the store is in memory,
    the registry client speaks to any OCI registry. What is passed in is used as it is.

    Updates that may be under way at the same time run on threads of their own, except on a clock that says
    that it ``is_for_one_thread``, as the fake one of ``safeupdater.testing`` does: then everything happens on
    the calling thread, in an order that only the clock decides.

    ``journal`` says how long the past is kept; without it the policy's ``retention`` does.
    """

    def __init__(
        self,
        *,
        backends: Iterable[Backend],
        policy: PolicySource | None = None,
        store: StateStore | None = None,
        tags: TagSource | None = None,
        facts: Sequence[FactSource] = (),
        observers: Iterable[Observer] = (),
        clock: Clock | None = None,
        checks: HealthChecks | None = None,
        hooks: Hooks | None = None,
        admission: Admission | None = None,
        analyzer: SemVerAnalyzer | None = None,
        progress: Callable[[Progressed], None] | None = None,
        journal: JournalRetention | None = None,
    ) -> None:
        wiring = _wiring()
        self.backends = tuple(backends)
        self.clock: Clock = clock or wiring.clock()
        self.policy: PolicySource = policy or wiring.policy()
        self._asked = AskedPolicy(self.policy)
        self.store: StateStore = store or wiring.store(self.clock)
        self._tags = tags
        has_threads = not getattr(self.clock, "is_for_one_thread", False)
        self._notifier = Notifier(observers, threads=has_threads)
        self._analyzer = analyzer or SemVerAnalyzer()
        self._is_warned = False
        self.inventory = Inventory(self.store)
        # Where there are threads, what hangs must hold up itself alone.
        guard = self._guard = guarded if has_threads else unguarded
        self._reached: tuple[Backend, ...] = tuple(guard(item, GuardedBackend) for item in self.backends)
        self._runtimes = Runtimes()
        self._guarded_tags: TagSource | None = None
        self._facts: tuple[FactSource, ...] = tuple(guard(source, GuardedFacts) for source in facts)
        reviewing = partial(
            PolicyReview,
            self._asked,
            self.store,
            facts=self._all_facts(stored=False),
            analyzer=self._analyzer,
        )
        review = reviewing()
        self.executor = UpdateExecutor(
            self._reached,
            self.store,
            clock=self.clock,
            checks=checks or wiring.checks(),
            review=review,
            objection=review.objection,
            foresight=reviewing(notes=False),
            holder=wiring.holder(),
            new_id=wiring.new_id,
            admission=guard(admission or LocalAdmission(self.store, self._limits), GuardedAdmission),
            hooks=guard(hooks or wiring.hooks(), GuardedHooks),
            observers=self._notifier,
            progress=progress,
            threads=has_threads,
        )
        self.rollbacks = RollbackManager(
            self.executor, self.store, self._reached, clock=self.clock,
            journal=journal or self._asked.retention, notifier=self._notifier,
        )  # fmt: skip
        self._notifier.follow(self.store)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Self:
        """An updater for what the environment names: runtimes, policy, store and registries.

        Reads ``DOCKER_HOST`` and its companions, and ``SAFEUPDATER_BACKEND``, ``_POLICY``, ``_STORE``,
        ``_REGISTRY``, ``_REGISTRIES`` and ``_FACTS``. Those of observers and of the webhook are the command
        line's: pass ``observers``.

        Raises:
            ConfigurationError: the environment names something that cannot be used.
            PluginError: it names a plugin that cannot be had, raised, or made something else.
        """
        return cls(**{**_wiring().from_env(environ), **overrides})

    # --- the main job ---------------------------------------------------------------------------------------

    def scan(self) -> Scan:
        """Looks at every backend and records what runs; one that does not answer is a problem, not an end.

        Raises:
            ConfigurationError: two backends lead to the same runtime.
            StoreError: what was seen was not recorded.
        """
        assets: list[Asset] = []
        finished: list[ScanFinished] = []
        problems: list[str] = []
        for backend in self._reached:
            began = self.clock.now()
            try:
                report = _scanned(backend)
            except StoreError:
                raise
            except SafeUpdaterError as error:
                problems.append(self._not_scanned(backend, error))
                continue
            self._tell_apart(backend)
            try:
                recorded = self.inventory.record(report, self.clock.now(), began=began)
            except StoreError as error:
                if error.code != "not_storable":
                    raise
                # What it found is nothing that can be remembered: its own problem, and no other's.
                problems.append(self._not_scanned(backend, error))
                continue
            assets += report.assets
            problems += report.problems
            finished.append(recorded)
            self._notifier.tell(recorded)
        self._checkpoint()
        return Scan(assets=tuple(assets), finished=tuple(finished), problems=tuple(problems))

    def _not_scanned(self, backend: Backend, error: SafeUpdaterError) -> str:
        """Tells of a backend whose scan came to nothing; the problem in words."""
        where = _where(backend)
        self._notifier.alert_if_permanent(error, "see safeupdater doctor", where=where)
        return f"{where}: {error.message}"

    def plan(self, assets: Iterable[Asset] | None = None) -> Plan:
        """What to do about assets, by default all that the last scans saw and a backend here serves.

        Nothing is changed by it. A store may be shared: assets of other hosts are planned where these are
        served, or by an updater without backends.
        """
        subjects = tuple(self._served() if assets is None else assets)
        memory = ListingMemory(self.store, self.clock.now())
        plan = plan_updates(
            subjects,
            self.tags,
            self._asked,
            now=self.clock.now(),
            approvals=self.approvals(),
            facts=self._all_facts(),
            notify=self._notifier.tell if self._notifier else None,
            analyzer=self._analyzer,
            memory=memory,
        )
        self._alert_unknown(plan.unknown, memory.silent)
        self.inventory.record_plan(plan, self.clock.now())
        self.store.put("plan", plan.hash, plan)
        return plan

    def _served(self) -> Iterator[Asset]:
        for asset in self.inventory.assets():
            if not self.backends or any(self._serves(backend, asset) for backend in self.backends):
                yield asset

    def _serves(self, backend: Backend, asset: Asset) -> bool:
        try:
            with border(f"the backend {type(backend).__name__}"):
                return backend.owns(asset.target_id)
        except SafeUpdaterError:
            return False  # a runtime that is away serves nothing now; the scan said so

    def approve(
        self,
        update: PlannedUpdate,
        *,
        approver: str,
        bulk: bool = False,
        ttl_s: float | None = None,
    ) -> Approval:
        """Consents to one planned update: good once, for ``ttl_s`` seconds (the policy's, by default).

        A time of its own is more than 0 seconds and at most 365 days, as in the policy.

        One that waits only because it was refused before (``refused_before``) can be approved too, whatever
        the policy wants otherwise: then it is tried again at once.

        Raises:
            UpdateError: the update is rejected, needs no approval, may not be approved in bulk, or not by
                this approver. Who that is was for the caller to find out: a name is believed.
            ValueError: ``ttl_s`` is no such time.
        """
        if ttl_s is not None and not 0 < ttl_s <= _LONGEST_APPROVAL_S:
            raise ValueError(
                f"an approval is good for more than 0 seconds and at most 365 days, got {ttl_s!r}"
            )
        verdict, is_retry = update.decision.verdict, _only_was_refused(update.decision)
        if verdict not in (Verdict.REVIEW_REQUIRED, Verdict.MANUAL_APPROVAL) and not is_retry:
            needs_none = "needs no approval" if update.is_approved else f"cannot be approved, it is {verdict}"
            raise UpdateError(
                f"{update.target_id} {needs_none}: {update.decision.reason}", code="not_approvable"
            )
        if bulk and (is_retry or verdict is Verdict.MANUAL_APPROVAL):
            raise UpdateError(f"{update.target_id} must be approved by itself", code="not_in_bulk")
        self._require_approver(update, approver)
        now = self.clock.now()
        ttl = timedelta(seconds=self._approval_ttl_s(update) if ttl_s is None else ttl_s)
        approval = Approval(
            update_hash=update.hash, target_id=update.target_id, changes=update.changes,
            approver=approver, at=now, expires_at=now + ttl, bulk=bulk,
        )  # fmt: skip
        self.store.put("approval", update.hash, approval)
        return approval

    def _require_approver(self, update: PlannedUpdate, approver: str) -> None:
        for change in update.changes:
            policy = self._policy_of(change.asset_id)
            if not policy.lets_approve(approver):
                raise UpdateError(
                    f"{approver} may not approve updates of {change.asset_id}: the policy lets "
                    f"{', '.join(policy.approvers)} (approvers)",
                    code="not_an_approver",
                )

    def apply(
        self, plan: Plan | None = None, *, targets: Iterable[str] | None = None, max_in_flight: int = 8
    ) -> tuple[OperationResult, ...]:
        """Recovers what was interrupted, then carries out what a plan approves (a new plan, by default).

        ``targets`` limits it to some target ids.

        Raises:
            ConfigurationError: two backends lead to the same runtime.
        """
        for backend in self._reached:
            self._tell_apart(backend)
        self.rollbacks.recover()
        self.rollbacks.collect()
        plan = self.plan() if plan is None else plan
        approvals = self.approvals()  # those too that were given while the plan was made
        chosen = _to_carry_out(plan, approvals, targets)
        if chosen:
            self._warn_if_volatile()
        results = self.executor.run(chosen, max_in_flight=max_in_flight, approvals=approvals)
        self._alert_refusals(results)
        self._checkpoint()
        return results

    def preview(
        self, plan: Plan, *, targets: Iterable[str] | None = None, max_in_flight: int = 8
    ) -> tuple[Preview, ...]:
        """What ``apply`` of the same plan would meet now: warnings and refusals, known without beginning.

        The runtimes are asked, and only read. Nothing is written or recovered, neither probes nor hooks run,
        and admission (turns, the breaker, budgets and cooldowns) is not asked: those may still refuse what is
        ``ready``. One that does not answer is an ``unknown`` outlook.

        Raises:
            StoreError: the store did not give the approvals.
        """
        approvals = self.approvals()
        chosen = _to_carry_out(plan, approvals, targets)
        return self.executor.preview(chosen, max_in_flight=max_in_flight, approvals=approvals)

    def _tell_apart(self, backend: Backend) -> None:
        """Makes sure that no backend before leads to the same runtime; a single one is not asked.

        Raises:
            ConfigurationError: one does.
        """
        if len(self._reached) > 1:
            self._runtimes.add(backend)

    def _warn_if_volatile(self) -> None:
        if not self._is_warned and is_volatile(self.store, self.backends):
            self._is_warned = True
            warn_of_volatile(self._notifier)

    def recover(self, *, wait_s: float = 0.0) -> tuple[OperationResult, ...]:
        """Finishes what was interrupted; see ``RollbackManager.recover``."""
        return self.rollbacks.recover(wait_s=wait_s)

    def rollback(self, target_id: str, *, by: str, to: str | None = None) -> OperationResult:
        """Brings back the version before, or ``to`` an earlier one; see ``RollbackManager.rollback``."""
        return self.rollbacks.rollback(target_id, by=by, to=to)

    def resolve(
        self, target_id: str, resolution: Resolution, *, by: str, reason: str = ""
    ) -> OperationResult:
        """Decides what waits for a person; see ``RollbackManager.resolve``."""
        return self.rollbacks.resolve(target_id, resolution, by=by, reason=reason)

    def abort(self, target_id: str, *, by: str, reason: str = "") -> AbortAnswer:
        """Asks an update under way to stop; see ``RollbackManager.abort``."""
        return self.rollbacks.abort(target_id, by=by, reason=reason)

    def approvals(self) -> tuple[Approval, ...]:
        """The approvals that are good now."""
        now = self.clock.now()
        stored = (item.value for _, item in self.store.iterate("approval"))
        return tuple(item for item in stored if isinstance(item, Approval) and item.is_good(now))

    def stop(self) -> None:
        """Drains: finishes the effect under way and begins nothing new until ``resume``. Thread-safe."""
        self.executor.stop()

    def resume(self) -> None:
        """Lets new work begin again after ``stop``. Thread-safe."""
        self.executor.resume()

    def close(self) -> None:
        """Gives back connections and locks, once observers that read the journal have left it.

        All of them, whatever one raises; the first of those errors is raised when that is done.

        Raises:
            SafeUpdaterError: something could not be closed.
        """
        with ExitStack() as closing:
            closing.callback(self.store.close)
            closing.callback(_close, self._tags, "the source of tags")
            for backend in reversed(self.backends):
                closing.callback(_close, backend, f"the backend {type(backend).__name__}")
            self._notifier.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- wiring ---------------------------------------------------------------------------------------------

    @property
    def tags(self) -> TagSource:
        """Where newer versions are looked for; the registry client is made when it is first needed."""
        if self._tags is None:
            self._tags = _wiring().registry()
        guarded_tags = self._guarded_tags or self._guard(self._tags, GuardedTags)
        self._guarded_tags = guarded_tags
        return guarded_tags

    def _all_facts(self, *, stored: bool = True) -> tuple[FactSource, ...]:
        given = (*self._facts, _TagFacts(self))
        return (*given, StoreFacts(self.store)) if stored else given

    def _limits(self, planned: PlannedUpdate) -> Limits:
        asset = self.inventory.get(planned.changes[0].asset_id)
        policy = self._policy_of(planned.changes[0].asset_id)
        rollback = policy.settings.rollback
        replica_of = asset.metadata.get("replica_of") if asset else None
        return Limits(
            max_concurrent=policy.max_concurrent,
            max_per_day=rollback.max_per_day,
            cooldown_s=rollback.cooldown_s,
            replica_of=str(replica_of) if replica_of else None,
        )

    def _approval_ttl_s(self, update: PlannedUpdate) -> float:
        return self._policy_of(update.changes[0].asset_id).approval_ttl_s

    def _policy_of(self, asset_id: str) -> AssetPolicy:
        asset = self.inventory.get(asset_id)
        return self._asked.for_asset(asset) if asset else self._asked.defaults()

    def _checkpoint(self) -> None:
        checkpoint = getattr(self.store, "checkpoint", None)
        if callable(checkpoint):
            checkpoint()

    def _alert_unknown(self, unknown: Iterable[UnknownAsset], silent: Sequence[str]) -> None:
        """Tells of registries that a person must look at, once and not each round, and one alert for all
        assets that a registry says the same of."""
        found: dict[tuple[str, str], list[UnknownAsset]] = {}
        for item in unknown:
            asset = self.inventory.get(item.asset_id)
            known = (asset.unknown_cause or "").partition(":")[0] if asset is not None else ""
            if item.code in REMEDIES and item.code != known:
                found.setdefault((item.code, _source_of(asset)), []).append(item)
        for (code, _), items in found.items():
            others = f" (and {len(items) - 1} more assets)" if len(items) > 1 else ""
            self._notifier.alert(
                Severity.WARNING, code, f"no update is looked for: {items[0].message}{others}",
                REMEDIES[code], target_id=items[0].asset_id,
            )  # fmt: skip
        if silent:
            names = ", ".join(silent[:5]) + (f" and {len(silent) - 5} more" if len(silent) > 5 else "")
            self._notifier.alert(
                Severity.WARNING, "registry_silent", f"no answer in {SILENT_ROUNDS} rounds: {names}",
                "see why plan says unknown of them; nothing is updated until they answer",
            )  # fmt: skip

    def _alert_refusals(self, results: Iterable[OperationResult]) -> None:
        for result in results:
            if result.outcome is Outcome.ABORTED and self._is_news(result):
                self._notifier.alert(
                    Severity.WARNING, result.code, f"nothing was changed: {result.message}",
                    "remove the cause: it is tried again later by itself, at once where somebody approves it",
                    target_id=result.target_id, operation_id=result.operation_id,
                )  # fmt: skip

    def _is_news(self, result: OperationResult) -> bool:
        """Whether people have not heard of this refusal within the day."""
        asset = self.inventory.get(result.changes[0].asset_id) if result.changes else None
        noted = asset.refusals if asset else ()
        found = next((item for item in noted if item.operation_id == result.operation_id), None)
        return result.code != "abort_requested" and (found is None or found.told in (None, found.finished))


def _to_carry_out(
    plan: Plan, approvals: Iterable[Approval], targets: Iterable[str] | None
) -> list[PlannedUpdate]:
    """The updates of a plan that may be begun, of some targets or of all."""
    approved = {approval.update_hash for approval in approvals}
    wanted = None if targets is None else frozenset(targets)
    return [
        update
        for update in plan.updates
        if (update.is_approved or update.hash in approved) and (wanted is None or update.target_id in wanted)
    ]


def _scanned(backend: Backend) -> ScanReport:
    """What a backend sees.

    Raises:
        PluginError: it raised, or answered something else.
    """
    name = _class_of(backend)
    with border(f"the backend {name}"):
        report = backend.scan()
        if not isinstance(report, ScanReport) or not all(isinstance(item, Asset) for item in report.assets):
            raise PluginError(f"the backend {name} answered something else than a ScanReport of assets")
    return report


def _where(backend: Backend) -> str:
    """A backend for people; one that is away may not even say its host."""
    try:
        with border("the backend"):
            return f"{backend.name} on {backend.host}"
    except SafeUpdaterError:
        return _class_of(backend)


def _class_of(backend: Backend) -> str:
    return type(getattr(backend, "inner", backend)).__name__


def _only_was_refused(decision: Decision) -> bool:
    """Whether nothing but an earlier refusal stands between an update and what a person may approve."""
    blocking = {reason.code for reason in decision.reasons if reason.verdict >= Verdict.DEFER}
    return decision.verdict is Verdict.DEFER and blocking == {REFUSED_BEFORE}


def _source_of(asset: Asset | None) -> str:
    """The registry or chart repository that an asset comes from."""
    image = asset.image if asset is not None else None
    return image.registry if isinstance(image, ImageReference) else (image.repository or "" if image else "")


def _close(opened: object, what: str) -> None:
    """Closes what can be closed."""
    with border(what):
        close = getattr(opened, "close", None)
        if callable(close):
            close()


class _TagFacts:
    """The facts that the tag source itself can give, asked only when a gate needs them."""

    def __init__(self, updater: Updater) -> None:
        self._updater = updater

    @property
    def provides(self) -> frozenset[str]:
        """What the tag source provides, where it is a fact source too."""
        return getattr(self._updater.tags, "provides", frozenset())

    def facts(self, candidate: Any) -> Mapping[str, object]:
        """What the tag source knows of the candidate."""
        tags: Any = self._updater.tags
        found: Mapping[str, object] = tags.facts(candidate)
        return found


def _wiring() -> Any:
    # The one place where the core reaches outwards, by name and only when used: the facade has defaults
    # for every port, and these live in outer layers.
    try:
        return import_module("safeupdater.config.wiring")
    except ImportError as error:
        raise ConfigurationError(f"safeupdater is not installed completely: {error}") from error
