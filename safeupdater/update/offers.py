"""What registries offer for each asset: newer tags by step, and the same tag where its digest moved.

A listing is asked for once per repository and a tag once per round, however many assets share it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import attrs

from safeupdater.analysis import SemVerAnalyzer
from safeupdater.domain.artifact import Artifact, ChartReference, ImageReference, ResolvedImage
from safeupdater.domain.asset import Asset
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.plan import UnknownAsset
from safeupdater.errors import PluginError, RegistryError, border
from safeupdater.protocols import AssetPolicy, TagSource
from safeupdater.update.listings import ListingMemory

_STEPS = (
    VersionChangeType.MAJOR,
    VersionChangeType.MINOR,
    VersionChangeType.PATCH,
    VersionChangeType.PRERELEASE,
)
_Resolved = ResolvedImage | RegistryError

_THIS_TAG_ONLY = frozenset({"not_found", "manifest_unknown", "no_platform", "not_an_image"})
"""Errors that are about one tag: an older one may be fine. Any other is about the registry."""

_MAX_MISSING = 10
"""How many listed tags without an image are passed over in one step size."""
_THE_SOURCE = "the source of tags"


@attrs.define(eq=False)
class Offers:
    """What is on offer, asset by asset.

    ``refusals`` holds the assets about which nothing can be said. Digests of the newest tags were asked
    for together; those of older ones are asked for when somebody wants to see them. What a tag serves is
    noted in ``memory`` as soon as it was looked at.
    """

    tags: TagSource
    newer: Mapping[str, Mapping[VersionChangeType, tuple[str, ...]]]
    refusals: Mapping[str, UnknownAsset]
    resolved: dict[tuple[str | None, str], _Resolved]
    analyzer: SemVerAnalyzer
    memory: ListingMemory | None = None
    problems: dict[str, UnknownAsset] = attrs.Factory(dict)

    def steps_of(self, asset: Asset) -> Iterator[Iterator[Change]]:
        """For each step size that has newer versions: its changes, newest first, digests looked up."""
        for change_type in _STEPS:
            tags = self.newer[asset.id].get(change_type, ())
            if tags:
                yield self._changes(asset, change_type, tags)

    def _changes(self, asset: Asset, change_type: VersionChangeType, tags: Iterable[str]) -> Iterator[Change]:
        current, missing = self.running(asset), 0
        for tag in tags:
            new = self._artifact_at(asset, tag)
            if isinstance(new, RegistryError):
                self.problems[asset.id] = _unknown(asset, new.code, new.message)
                missing += 1
                if new.code not in _THIS_TAG_ONLY or missing >= _MAX_MISSING:
                    return
                continue
            if self.memory is not None:
                self.memory.note_served(new, asset.platform)
            yield Change(asset_id=asset.id, current=current, new=new, change_type=change_type)

    def _artifact_at(self, asset: Asset, tag: str) -> Artifact | RegistryError:
        """The artifact at a tag, pinned to its digest."""
        if isinstance(asset.image, ChartReference):
            return attrs.evolve(asset.image, version=tag, digest=None)
        found = self._ask(asset, asset.image.with_tag(tag))
        return found if isinstance(found, RegistryError) else found.reference

    def _ask(self, asset: Asset, reference: ImageReference) -> _Resolved:
        key = (asset.platform, str(reference))
        if key not in self.resolved:
            try:
                with border(_THE_SOURCE):
                    self.resolved[key] = self.tags.resolve(reference, asset.platform)
            except RegistryError as error:
                self.resolved[key] = error
        return self.resolved[key]

    def running(self, asset: Asset) -> Artifact:
        """The artifact that runs, with a digest by which its bits are known."""
        if isinstance(asset.image, ChartReference):
            return asset.image
        return asset.image.with_digest(min(asset.digests, default=asset.image.digest))

    def moved_digest(self, asset: Asset) -> Change | None:
        """The change to the bits that the same tag serves now; None where they are the ones that run."""
        image, bits = asset.image, bits_of(asset)
        if isinstance(image, ChartReference) or image.tag is None:
            return None
        if not bits:
            self._note_incomparable(asset, "the runtime does not say which bits run")
            return None
        found = self._ask(asset, image.with_tag(image.tag))
        if isinstance(found, RegistryError):
            self.problems[asset.id] = _unknown(asset, found.code, found.message)
            return None
        if not found.digests:
            self._note_incomparable(asset, "the registry does not say which bits the tag serves")
            return None
        is_moved = not found.digests & bits
        if self.memory is not None:
            self.memory.note_served(found.reference, asset.platform, first=is_moved)
        if not is_moved:
            return None
        return Change(
            asset_id=asset.id,
            current=self.running(asset),
            new=found.reference,
            change_type=VersionChangeType.DIGEST,
        )

    def _note_incomparable(self, asset: Asset, why: str) -> None:
        """A tag that says no version can be followed by its bits only."""
        if self.analyzer.parse_version(asset.image.version_text) is None:
            message = f"{why}, and the tag {asset.image.version_text} says no version"
            self.problems[asset.id] = _unknown(asset, "digest_unknown", message)

    def problem_of(self, asset: Asset) -> UnknownAsset | None:
        """Why nothing may be concluded from there being no option; None where it is simply current."""
        return self.problems.get(asset.id)


def bits_of(asset: Asset) -> frozenset[str]:
    """The digests by which the running bits are known: the runtime's, else the one that it was pinned to."""
    pinned = asset.image.digest
    return asset.digests or (frozenset((pinned,)) if pinned else frozenset())


def gather_offers(
    subjects: Iterable[tuple[Asset, AssetPolicy]],
    tags: TagSource,
    analyzer: SemVerAnalyzer,
    memory: ListingMemory | None = None,
) -> Offers:
    """Asks the registries, in as few questions as will do; with ``memory`` lists are compared with earlier
    ones."""
    wanted = [(asset, policy, _not_comparable(asset, policy)) for asset, policy in subjects]
    refusals = {asset.id: refusal for asset, _, refusal in wanted if refusal is not None}
    asked = [(asset, policy) for asset, policy, refusal in wanted if refusal is None]
    listings = _listings(dict.fromkeys(asset.image for asset, _ in asked), tags)
    if memory is not None:
        listings = _weighed(listings, [asset.image for asset, _ in asked], memory)
    newer: dict[str, Mapping[VersionChangeType, tuple[str, ...]]] = {}
    for asset, policy in asked:
        listing = listings.get(_place(asset.image), {}).get(asset.image.name)
        if listing is None:
            refusals[asset.id] = _unknown(asset, "registry_error", "the registry gave no answer")
        elif isinstance(listing, RegistryError):
            refusals[asset.id] = _unknown(asset, listing.code, listing.message)
        else:
            newer[asset.id] = _newer(asset, policy, listing, analyzer)
    offered = [asset for asset, _ in asked if asset.id in newer]
    return Offers(tags, newer, refusals, _resolve_together(offered, newer, tags), analyzer, memory)


def _listings(
    images: Iterable[Artifact], tags: TagSource
) -> dict[str, Mapping[str, tuple[str, ...] | RegistryError]]:
    """The listings by place and name: charts of one name may come from different repositories.

    Every running tag is named, so that a listing without one of them can be recognised as incomplete.
    """
    by_place: defaultdict[str, list[Artifact]] = defaultdict(list)
    for image in images:
        by_place[_place(image)].append(image)
    with border(_THE_SOURCE):
        listings = {place: tags.lookup_many(found) for place, found in by_place.items()}
    for answer in listings.values():
        if not isinstance(answer, Mapping):
            raise PluginError(f"{_THE_SOURCE} answered a {type(answer).__name__} instead of listings by name")
    return listings


def _weighed(
    listings: Mapping[str, Mapping[str, tuple[str, ...] | RegistryError]],
    images: Iterable[Artifact],
    memory: ListingMemory,
) -> dict[str, Mapping[str, tuple[str, ...] | RegistryError]]:
    """The listings, those that are not believed replaced by the reason."""
    running: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for image in images:
        running[_place(image), image.name].add(image.version_text)
    weighed: defaultdict[str, dict[str, tuple[str, ...] | RegistryError]] = defaultdict(dict)
    for (place, name), texts in running.items():
        answer = listings.get(place, {}).get(name)
        if answer is not None:
            repository = f"{place}/{name}" if place else name
            weighed[place][name] = memory.weigh(repository, answer, texts)
    return dict(weighed)


def _place(image: Artifact) -> str:
    return image.repository or "" if isinstance(image, ChartReference) else ""


def _not_comparable(asset: Asset, policy: AssetPolicy) -> UnknownAsset | None:
    if not policy.enabled:
        return _unknown(asset, "disabled", "the policy does not look after it (enabled: false)")
    if isinstance(asset.image, ImageReference) and asset.image.tag is None:
        return _unknown(asset, "pinned_by_digest", "it is pinned to a digest and names no tag to follow")
    if asset.metadata.get("local_build"):
        # Whoever owns that name at a registry need not be who built it; nor is it the registry's to know.
        return _unknown(asset, "local_build", "its image was built on its host: no registry is asked for it")
    return None


def _newer(
    asset: Asset, policy: AssetPolicy, listing: Iterable[str], analyzer: SemVerAnalyzer
) -> Mapping[VersionChangeType, tuple[str, ...]]:
    found = analyzer.find_updates(
        asset.image.version_text,
        listing,
        constraint=policy.constraint,
        allow_prerelease=policy.allow_prerelease,
        family="loose" if policy.family == "loose" else "strict",
        max_major_step=policy.max_major_step,
    )
    return found.by_type


def _resolve_together(
    assets: Iterable[Asset],
    newer: Mapping[str, Mapping[VersionChangeType, tuple[str, ...]]],
    tags: TagSource,
) -> dict[tuple[str | None, str], _Resolved]:
    """The digests of the newest tag of each step and of the running tags, one batch per platform."""
    wanted: defaultdict[str | None, dict[str, ImageReference]] = defaultdict(dict)
    for asset in assets:
        image = asset.image
        if isinstance(image, ChartReference) or image.tag is None:
            continue
        newest = [listed[0] for listed in newer[asset.id].values() if listed]
        for tag in (*newest, image.tag) if bits_of(asset) else newest:
            reference = image.with_tag(tag)
            wanted[asset.platform][str(reference)] = reference
    with border(_THE_SOURCE):
        return {
            (platform, text): found
            for platform, references in wanted.items()
            for text, found in tags.resolve_many(references.values(), platform).items()
        }


def _unknown(asset: Asset, code: str, message: str) -> UnknownAsset:
    return UnknownAsset(asset_id=asset.id, code=code, message=message)
