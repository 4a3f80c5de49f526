"""Leases, as every state store promises to give them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import attrs
import pytest

from safeupdater.domain.operation import (
    AbortRequested,
)
from safeupdater.errors import LeaseLost
from safeupdater.protocols import Lease, LeaseSeen, StateStore
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.store_samples import INTENDED, StoreTests, planned


class LeaseTests(StoreTests):
    """The part of the contract about leases."""

    def test_a_lease_has_one_holder_and_each_holder_a_higher_epoch(
        self, store: StateStore, tmp_path: Path, clock: FakeClock
    ) -> None:
        one = store.acquire("k", "one", 60)
        assert one is not None
        assert one == Lease(key="k", holder="one", epoch=1, ttl_s=60)
        assert store.acquire("k", "two", 60) is None
        other = store.acquire("other", "two", 60)
        assert other is not None
        store.release(one)
        two = store.acquire("k", "two", 60)
        assert two is not None
        assert two.epoch > one.epoch
        store.release(two)
        store = self.reopened(store, tmp_path, clock)
        three = store.acquire("k", "one", 60)
        assert three is not None
        assert three.epoch > two.epoch
        store.close()

    def test_a_holder_that_takes_its_own_lease_again_fences_its_past(self, store: StateStore) -> None:
        past = store.acquire("k", "one", 60)
        assert past is not None
        present = store.acquire("k", "one", 60)
        assert present is not None
        assert present.epoch > past.epoch
        with pytest.raises(LeaseLost):
            store.renew(past, 60)
        assert store.renew(present, 60) == present

    def test_a_look_at_a_lease_says_who_holds_it_and_takes_nothing(self, store: StateStore) -> None:
        assert store.lease_on("k") is None
        lease = store.acquire("k", "north:boot:1:2:3", 60)
        assert lease is not None
        seen = store.lease_on("k")
        assert seen is not None
        assert (seen.holder, seen.host) == ("north:boot:1:2:3", "north")
        assert store.lease_on("other") is None
        # Nothing was taken by looking: the lease is as good as before, and free to others once given back.
        later = store.renew(lease, 600)
        after = store.lease_on("k")
        assert after is not None
        assert after.until > seen.until
        store.release(later)
        assert store.lease_on("k") is None
        taken = store.acquire("k", "two", 60)
        assert taken is not None
        assert taken.epoch == lease.epoch + 1

    def test_a_look_sees_a_lease_until_it_has_run_out(self, store: StateStore, clock: FakeClock) -> None:
        if not self.own_clock:
            pytest.skip("does not apply: its leases run on a server's clock")
        assert store.acquire("k", "one", 60) is not None
        seen = store.lease_on("k")
        assert seen == LeaseSeen(holder="one", until=clock.now() + timedelta(seconds=60))
        clock.advance(59)
        assert store.lease_on("k") == seen
        clock.advance(2)
        assert store.lease_on("k") is None

    def test_a_lease_runs_out_unless_it_is_renewed(self, store: StateStore, clock: FakeClock) -> None:
        if not self.own_clock:
            pytest.skip("does not apply: its leases run on a server's clock")
        lease = store.acquire("k", "one", 60)
        assert lease is not None
        clock.advance(59)
        assert store.acquire("k", "two", 60) is None
        lease = store.renew(lease, 60)
        clock.advance(59)
        assert store.acquire("k", "two", 60) is None
        clock.advance(2)
        taken = store.acquire("k", "two", 60)
        assert taken is not None
        assert taken.epoch > lease.epoch
        with pytest.raises(LeaseLost):
            store.renew(lease, 60)

    def test_a_lease_that_ran_out_can_be_renewed_while_nobody_took_it(
        self, store: StateStore, clock: FakeClock
    ) -> None:
        lease = store.acquire("k", "one", 10)
        assert lease is not None
        clock.advance(100)
        assert store.renew(lease, 20) == attrs.evolve(lease, ttl_s=20)

    def test_a_lease_given_back_is_no_longer_ours(self, store: StateStore) -> None:
        lease = store.acquire("k", "one", 60)
        assert lease is not None
        store.release(lease)
        store.release(lease)
        with pytest.raises(LeaseLost):
            store.renew(lease, 60)
        with pytest.raises(LeaseLost):
            self.append(store, 0, planned(), lease=lease)
        taken = store.acquire("k", "two", 60)
        store.release(lease)
        assert taken is not None
        assert store.renew(taken, 60) == taken

    def test_an_append_with_a_lost_lease_is_refused(self, store: StateStore) -> None:
        key = "memory://here/web"
        old = store.acquire(key, "one", 60)
        assert old is not None
        self.append(store, 0, planned(), lease=old)
        store.release(old)
        new = store.acquire(key, "two", 60)
        with pytest.raises(LeaseLost):
            self.append(store, 1, INTENDED, lease=old)
        assert self.append(store, 1, INTENDED, lease=new) == 2
        assert [entry.epoch for entry in store.load("op-1")] == [old.epoch, old.epoch + 1]

    @pytest.mark.parametrize("years", [10, -10])
    def test_a_clock_that_jumps_never_lets_two_holders_act(
        self, store: StateStore, clock: FakeClock, years: int
    ) -> None:
        key = "memory://here/web"
        first = store.acquire(key, "one", 60)
        assert first is not None
        self.append(store, 0, planned(), lease=first)
        clock.jump(timedelta(days=365 * years))
        second = store.acquire(key, "two", 60)
        acting = [lease for lease in (first, second) if lease and self._may_act(store, lease)]
        assert len(acting) == 1
        assert acting[0] is (second or first)

    def _may_act(self, store: StateStore, lease: Lease) -> bool:
        try:
            self.append(store, len(store.load("op-1")), AbortRequested(by=lease.holder), lease=lease)
        except LeaseLost:
            return False
        return True

    def test_a_clock_that_went_back_does_not_keep_a_lease_for_years(
        self, store: StateStore, clock: FakeClock
    ) -> None:
        if not self.own_clock:
            pytest.skip("does not apply: its leases run on a server's clock")
        assert store.acquire("k", "one", 60) is not None
        clock.jump(timedelta(days=-3650))
        assert store.acquire("k", "two", 60) is None
        clock.advance(30)
        assert store.acquire("k", "two", 60) is None
        clock.advance(31)
        assert store.acquire("k", "two", 60) is not None

    @pytest.mark.parametrize("ttl_s", [0, -1, float("nan"), float("inf")])
    def test_a_senseless_time_to_live_is_an_error(self, store: StateStore, ttl_s: float) -> None:
        with pytest.raises(ValueError, match="lease"):
            store.acquire("k", "one", ttl_s)
