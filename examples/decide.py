"""Compose gates, load a policy, and get a plan that explains itself. No server is involved."""

from datetime import UTC, datetime

from safeupdater import Asset, AssetType, ImageReference, Policy, StaticTags, plan_updates

policy = Policy.from_dict(
    {
        "semver_gates": {"patch": "auto", "minor": "review", "major": "manual"},
        "rules": [{"match": {"name": "cache"}, "constraint": "^7.2"}],
    }
)
running = {"web": "nginx:1.27.1-alpine", "cache": "redis:7.2.4", "search": "example/search:2.1.0"}
assets = [
    Asset(
        id=f"docker://prod-1/{name}",
        name=name,
        asset_type=AssetType.CONTAINER,
        image=ImageReference.parse(image),
    )
    for name, image in running.items()
]
tags = StaticTags(
    {
        "nginx": ["1.27.1-alpine", "1.27.4-alpine", "1.28.0-alpine", "1.28.0", "latest"],
        "redis": ["7.2.4", "7.2.5", "8.0.0", "2024.11"],
    }
)
print(plan_updates(assets, tags, policy, now=datetime(2026, 3, 2, 12, tzinfo=UTC)).explain())

# Output:
# Plan ...: 2 approved, 0 waiting, 0 rejected, 0 current, 1 unknown
#
# approve          docker://prod-1/cache
#                  7.2.4 → 7.2.5 (patch)
#                  It satisfies ^7.2 [constraint=^7.2]
#                  Patch update is approved automatically
#                    [semver_gates.patch=auto]
#
# approve          docker://prod-1/web
#                  1.27.1-alpine → 1.27.4-alpine (patch)
#                  Patch update is approved automatically
#                    [semver_gates.patch=auto]
#                  or 1.28.0-alpine (minor): review_required, Minor update needs
#                    a review
#
# unknown          docker://prod-1/search
#                  docker.io/example/search is not among the given tags: add it
#                    to StaticTags [not_found]
