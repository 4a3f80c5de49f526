"""Databases: what a new major version does to their files, no rollback of the image undoes."""

from __future__ import annotations

import attrs

from safeupdater.analysis import SemVerAnalyzer
from safeupdater.domain.artifact import Artifact, ChartReference
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.gates.combinators import Composable
from safeupdater.gates.reasons import says

# fmt: off
KNOWN_DATABASES = frozenset({
    "postgres", "postgresql", "postgresql-ha", "postgresql-repmgr", "postgis", "pgvector", "timescaledb",
    "timescaledb-ha", "citus", "spilo", "cockroach", "yugabyte",
    "mysql", "mysql-server", "mariadb", "mariadb-galera", "percona", "percona-server",
    "percona-xtradb-cluster", "tidb", "tikv",
    "mongo", "mongodb", "mongodb-sharded", "mongodb-community-server", "mongodb-enterprise-server",
    "percona-server-mongodb", "couchdb", "couchbase", "rethinkdb", "arangodb", "surrealdb",
    "redis", "redis-cluster", "redis-stack", "redis-stack-server", "valkey", "valkey-cluster", "keydb",
    "elasticsearch", "opensearch", "solr", "meilisearch", "typesense", "qdrant", "weaviate", "milvus",
    "cassandra", "scylla", "neo4j", "dgraph", "influxdb", "clickhouse", "clickhouse-server", "questdb",
    "crate", "etcd", "zookeeper", "rabbitmq", "kafka",
})
# fmt: on
"""Images and charts, by the last part of their name, whose files may change with the major version."""

_KNOWN_PAIRS = frozenset({"mssql/server", "database/enterprise", "database/free"})
_ANALYZER = SemVerAnalyzer()


def is_known_database(artifact: Artifact) -> bool:
    """Whether an image or chart is a database by its name."""
    name = artifact.name if isinstance(artifact, ChartReference) else artifact.repository
    parts = name.split("/")
    return parts[-1] in KNOWN_DATABASES or "/".join(parts[-2:]) in _KNOWN_PAIRS


@attrs.frozen
class StatefulGuard(Composable):
    """Never lets a database take a major step by itself: its files may not be readable afterwards.

    A minor step of 0.x counts as one, and so do other bits behind a tag that names no version, such as
    ``latest``: they may be the next major. ``declared`` says whether the asset is a database; None goes
    by the names of known images.
    """

    declared: bool | None = None
    name: str = attrs.field(default="stateful_guard", kw_only=True)

    needs: frozenset[str] = attrs.field(default=frozenset(), init=False, repr=False, eq=False)

    def __call__(self, candidate: Candidate) -> Decision:
        """Manual approval with ``stateful_major``, or approve."""
        change = candidate.change
        is_database = is_known_database(change.current) or is_known_database(change.new)
        if not (is_database if self.declared is None else self.declared):
            return says(self.name, Verdict.APPROVE, "not_stateful", "It is not a known database")
        if not _ANALYZER.is_breaking_change(change.current.version_text, change.new.version_text):
            return says(self.name, Verdict.APPROVE, "stateful_minor", "The database keeps its major version")
        message = "A major step of a database may change its files for good: back it up first"
        return says(self.name, Verdict.MANUAL_APPROVAL, "stateful_major", message)
