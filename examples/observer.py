"""Tell a chat what a person must know at once, and keep an audit that misses nothing, in a crash either."""

from safeupdater import MemoryBackend, MemoryWorld, Policy, Updater, open_store
from safeupdater.backends.memory import Behaviour
from safeupdater.domain.notice import AlertRaised, Notice
from safeupdater.domain.operation import Finished, JournalEntry
from safeupdater.protocols import StateStore
from safeupdater.testing.clock import FakeClock
from safeupdater.update.cursor import JournalCursor


class Chat:
    """Is told what happens, as it happens; a process that is killed tells no more."""

    def notify(self, happening: JournalEntry | Notice) -> None:
        """Says what needs a person."""
        if isinstance(happening, AlertRaised):
            print(f"chat: {happening.severity}, {happening.target_id} {happening.code}")


class Audit:
    """Reads the journal itself, and the store remembers how far it came."""

    def follow(self, store: StateStore) -> None:
        """Is called with the updater's store before anything happens in it."""
        self.cursor = JournalCursor(store, "audit")

    def notify(self, happening: JournalEntry | Notice) -> None:
        """Nothing: what was told could have been missed."""

    def leave(self) -> None:
        """Writes down what is new; call it as often as you like."""
        while page := self.cursor.read():
            for entry in page:
                if isinstance(entry.event, Finished):
                    print(f"audit: {entry.at:%H:%M:%S} {entry.target_id} {entry.event.outcome}")
            self.cursor.keep(page[-1].position)


clock = FakeClock()
world = MemoryWorld(clock, host="prod-1")
world.run("shop", "example/shop:1.4.2")
world.run("search", "example/search:2.0.0")
world.publish("example/shop:1.4.3")
world.publish("example/search:2.0.1", Behaviour(exits_after_s=20.0))

with Updater(
    backends=[MemoryBackend(world)],
    tags=world,
    policy=Policy.default(),
    clock=clock,
    store=open_store("memory:", clock),
    observers=[Chat(), Audit()],
) as updater:
    updater.scan()
    updater.apply()

# Output:
# chat: warning, memory://prod-1/search exited
# audit: 12:00:21 memory://prod-1/search rolled_back
# audit: 12:05:21 memory://prod-1/shop succeeded
