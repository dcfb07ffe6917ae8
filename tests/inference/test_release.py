"""Releases: an alias followed, versions swapped under their holders, refusals, a store that goes away."""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.errors import NoRelease, RefusedModel
from inference.release import Backoff, Release, ReleaseKeeper
from model_store.store import Version

FAST = Backoff(first=0.02, longest=0.05)
SLOW = Backoff(first=30.0, longest=30.0)
POLL_S = 0.01


class Part:
    """What a consumer makes of a version; it knows whether it was given up."""

    def __init__(self, version: Version) -> None:
        self.version = version
        self.retired = False

    def answer(self) -> int:
        assert not self.retired, f"{self.version} was used after it was retired"
        return self.version.number


class Consumer:
    """Prepares and retires parts as a service does, and fails on demand."""

    def __init__(self) -> None:
        self.prepared: list[int] = []
        self.retired: list[int] = []
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def prepare(self, version: Version) -> Part:
        self.prepared.append(version.number)
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return Part(version)

    async def retire(self, part: Part) -> None:
        assert not part.retired
        part.retired = True
        self.retired.append(part.version.number)


Keeper = ReleaseKeeper[Part]
Story = Callable[[Keeper, Consumer], Awaitable[None]]


@pytest.fixture
def versions(workshop: Any) -> list[Version]:
    return [workshop.publish("vector", seed=seed) for seed in range(3)]


@pytest.fixture
def play(workshop: Any) -> Callable[..., None]:
    """Runs a story beside a keeper of artwork-head@production, and closes it."""

    def run(
        story: Story, *, refused: Backoff = FAST, failed: Backoff = FAST, falls_back: bool = False
    ) -> None:
        async def body() -> None:
            consumer = Consumer()
            keeper = ReleaseKeeper(
                workshop.store,
                "artwork-head",
                "production",
                consumer.prepare,
                consumer.retire,
                POLL_S,
                refused=refused,
                failed=failed,
                falls_back=falls_back,
            )
            following = asyncio.create_task(keeper.run())
            try:
                await story(keeper, consumer)
                assert not following.done()
            finally:
                following.cancel()
                with suppress(asyncio.CancelledError):
                    await following
                await keeper.close(drain_s=0.2)

        asyncio.run(asyncio.wait_for(body(), 20))

    return run


async def until(holds: Callable[[], bool], what: str) -> None:
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never came: {what}")


def serving(keeper: Keeper, number: int) -> Callable[[], bool]:
    return lambda: keeper.status.version is not None and keeper.status.version.number == number


def test_the_first_release_is_waited_for(play: Any, workshop: Any, versions: list[Version]) -> None:
    """Before the alias there is nothing, with the reason; then its version serves (S-3)."""

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        await until(lambda: "no alias" in keeper.status.detail, "a look at the alias")
        assert (keeper.status.state, keeper.status.version) == ("absent", None)
        with pytest.raises(NoRelease, match="no alias artwork-head@production"), keeper.hold():
            raise AssertionError
        with pytest.raises(NoRelease, match="no alias artwork-head@production"):
            await keeper.wait_first(0.05)

        workshop.promote(versions[0])
        first = await keeper.wait_first(5)

        assert (first.lead.number, first.value.answer()) == (1, 1)
        assert (keeper.status.state, keeper.status.detail) == ("serving", "")
        with keeper.hold() as release:
            assert release is first

    play(story)


def test_a_missing_store_is_named_and_waited_for(
    play: Any, workshop: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A missing store is named in the log, not to callers, and is used once it appears."""
    # proves S-8

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        with caplog.at_level(logging.INFO, logger="inference.release"):
            await until(lambda: keeper.status.detail == "the model store is not there", "the reason")
        assert keeper.status.state == "absent"
        assert caplog.records[-1].store == str(tmp_path / "store")  # type: ignore[attr-defined]

        version = workshop.publish("vector")
        workshop.promote(version)

        assert (await keeper.wait_first(5)).lead.number == 1

    play(story)


def test_a_swap_waits_for_the_holders_of_the_old(play: Any, workshop: Any, versions: list[Version]) -> None:
    """New callers get the new release at once; the old is retired when its last holder is gone."""

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        workshop.promote(versions[0])
        await keeper.wait_first(5)
        with keeper.hold() as old, keeper.hold() as same:
            workshop.promote(versions[1])
            await until(serving(keeper, 2), "the swap")
            with keeper.hold() as new:  # proves S-3
                assert new.value.answer() == 2
            await asyncio.sleep(0.05)
            assert old is same
            assert old.value.answer() == 1
            assert consumer.retired == []

        await until(lambda: consumer.retired == [1], "the retirement of 1")

    play(story)


def test_many_callers_see_no_failed_request_through_swaps_and_rollbacks(
    play: Any, workshop: Any, versions: list[Version]
) -> None:
    """Under load, every request is answered by one live release from its start to its end (S-3)."""

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        workshop.promote(versions[0])
        await keeper.wait_first(5)
        stop, answered = asyncio.Event(), [0]

        async def caller(pause: float) -> None:
            while not stop.is_set():
                with keeper.hold() as release:
                    before = release.value.answer()
                    await asyncio.sleep(pause)
                    assert release.value.answer() == before
                    answered[0] += 1

        callers = [asyncio.create_task(caller(0.001 * n)) for n in range(12)]
        for target in (2, 3, 1, 3, 2):
            workshop.promote(versions[target - 1])
            await until(serving(keeper, target), f"version {target}")
        workshop.store.aliases.rollback("artwork-head", "production")
        await until(serving(keeper, 3), "the rollback")
        stop.set()
        await asyncio.gather(*callers)

        assert answered[0] > 100
        await until(lambda: sorted(consumer.retired) == [1, 1, 2, 2, 3, 3], "retirements")

    play(story)


def test_a_refused_version_leaves_the_present_one_and_is_not_hammered(
    play: Any, workshop: Any, versions: list[Version]
) -> None:
    """A version that fails its checks is tried once, reported, and the one before serves on (M-4)."""

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        workshop.promote(versions[0])
        await keeper.wait_first(5)
        consumer.failure = RefusedModel("artwork-head/2: golden.npz row 0 differs\nwith more lines")
        workshop.promote(versions[1])
        await until(lambda: keeper.status.state == "refused", "the refusal")
        await asyncio.sleep(0.1)

        assert consumer.prepared == [1, 2]
        assert keeper.status.detail == (
            "artwork-head/2 is refused: artwork-head/2: golden.npz row 0 differs; artwork-head/1 serves"
        )
        with keeper.hold() as release:
            assert release.value.answer() == 1

        consumer.failure = None
        workshop.promote(versions[2])
        await until(serving(keeper, 3), "the next version")

    play(story, refused=SLOW)


def test_without_a_release_the_history_of_the_alias_is_walked(
    play: Any, workshop: Any, versions: list[Version]
) -> None:
    """The newest version of the history that can be prepared serves; the alias's own is tried again and
    swapped in once it is good (M-4)."""
    for version in versions:
        workshop.promote(version)
    manifest = versions[1].path("manifest.json")
    manifest.write_bytes(manifest.read_bytes().replace(b'"opset"', b'"opsex"'))

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        graph = versions[2].path("manifest.json")
        whole = graph.read_bytes()
        graph.write_bytes(b"{}")

        first = await keeper.wait_first(5)

        assert (first.lead.number, consumer.prepared) == (1, [1])
        await until(lambda: keeper.status.state == "refused", "the refusal")
        assert "artwork-head/3 is refused" in keeper.status.detail
        assert "artwork-head/1 serves" in keeper.status.detail
        graph.write_bytes(whole)
        await until(serving(keeper, 3), "the version that the alias means")
        await until(lambda: consumer.retired == [1], "the retirement of 1")

    play(story, falls_back=True)


def test_a_history_of_refused_versions_leaves_nothing_in_service(
    play: Any, workshop: Any, versions: list[Version]
) -> None:
    """When no version of the history can be prepared, the detail is that of the alias's own (M-4)."""
    for version in versions:
        workshop.promote(version)

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        consumer.failure = RefusedModel("no")
        await until(lambda: len(consumer.prepared) >= 6, "attempts")

        assert consumer.prepared[:6] == [3, 2, 1, 3, 2, 1]
        assert keeper.present is None
        assert "artwork-head/3" in keeper.status.detail

    play(story, falls_back=True)


def test_a_rollback_from_a_refused_version_is_serving_again(
    play: Any, workshop: Any, versions: list[Version]
) -> None:
    """When the alias returns to what is in service, nothing is prepared and nothing is wrong."""

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        workshop.promote(versions[0])
        await keeper.wait_first(5)
        consumer.failure = RefusedModel("no")
        workshop.promote(versions[1])
        await until(lambda: keeper.status.state == "refused", "the refusal")

        workshop.store.aliases.rollback("artwork-head", "production")
        await until(lambda: keeper.status.state == "serving", "the return")

        assert consumer.prepared == [1, 2]
        assert keeper.status.detail == ""

    play(story, refused=SLOW)


def test_a_version_whose_manifest_is_damaged_is_refused(
    play: Any, workshop: Any, versions: list[Version]
) -> None:
    """Damage detected before anything is prepared is a refusal too, naming the file (M-4)."""

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        workshop.promote(versions[0])
        await keeper.wait_first(5)
        path = versions[1].path("manifest.json")
        path.write_bytes(path.read_bytes().replace(b'"opset"', b'"opsex"'))
        workshop.promote(versions[1])
        await until(lambda: keeper.status.state == "refused", "the refusal")

        assert "artwork-head/2/manifest.json" in keeper.status.detail
        assert consumer.prepared == [1]

    play(story)


def test_another_version_under_the_same_number_is_refused(
    play: Any, workshop: Any, versions: list[Version]
) -> None:
    """An alias names a digest: files swapped under its number are not taken up."""

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        workshop.promote(versions[0])
        folder = versions[0].path("manifest.json").parent
        shutil.rmtree(folder)
        shutil.copytree(versions[1].path("manifest.json").parent, folder)
        await until(lambda: keeper.status.state == "refused", "the refusal")

        assert "is not the version that artwork-head@production was moved to" in keeper.status.detail
        assert consumer.prepared == []

    play(story)


def test_a_passing_failure_is_tried_again_until_it_heals(
    play: Any, workshop: Any, versions: list[Version]
) -> None:
    """A dependency that is down is asked again after a short back-off; its return is noticed (S-8)."""

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        consumer.failure = ConnectionError("embedder at 127.0.0.1:1 does not answer")
        workshop.promote(versions[0])
        await until(lambda: len(consumer.prepared) >= 4, "attempts")
        assert keeper.status.state in ("refused", "preparing")
        assert keeper.status.version is None

        consumer.failure = None

        assert (await keeper.wait_first(2)).value.answer() == 1

    play(story)


def test_a_version_that_stays_refused_is_logged_once(
    play: Any, workshop: Any, versions: list[Version], caplog: pytest.LogCaptureFixture
) -> None:
    """Attempt after attempt one line, and another for another version (S-11)."""

    def lines() -> int:
        return sum(record.message == "version refused" for record in caplog.records)

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        consumer.failure = RefusedModel("no")
        workshop.promote(versions[0])
        await until(lambda: len(consumer.prepared) >= 4, "attempts")
        assert lines() == 1
        workshop.promote(versions[1])
        await until(lambda: consumer.prepared.count(2) >= 2, "attempts at the next")
        assert lines() == 2

    play(story)


def test_back_off_doubles_up_to_its_longest() -> None:
    """Delays grow by two and stop growing, however often it fails."""
    backoff = Backoff(first=0.25, longest=1.0)

    assert [backoff.delay(n) for n in (1, 2, 3, 4, 10_000)] == [0.25, 0.5, 1.0, 1.0, 1.0]


def test_what_was_promoted_away_while_it_was_prepared_never_serves(
    play: Any, workshop: Any, versions: list[Version]
) -> None:
    """A version that is rolled back during its minutes of preparation is given up, not swapped in."""

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        workshop.promote(versions[0])
        await keeper.wait_first(5)
        consumer.gate = asyncio.Event()
        workshop.promote(versions[1])
        await until(lambda: consumer.prepared == [1, 2], "the preparation of 2")
        assert keeper.status.state == "preparing"
        assert keeper.status.version == versions[0]

        workshop.store.aliases.rollback("artwork-head", "production")
        consumer.gate.set()

        await until(lambda: consumer.retired == [2], "the retirement of 2")
        await until(lambda: keeper.status.state == "serving", "the state")
        assert keeper.status.version == versions[0]

    play(story)


def test_a_store_that_goes_away_leaves_the_release_in_service(
    play: Any, workshop: Any, versions: list[Version], tmp_path: Path
) -> None:
    """What is loaded serves without its store, says so, and follows the alias when it is back."""

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        workshop.promote(versions[0])
        await keeper.wait_first(5)
        (tmp_path / "store").rename(tmp_path / "away")
        await until(lambda: "the model store is not there" in keeper.status.detail, "the loss")
        assert keeper.status.state == "serving"
        with keeper.hold() as release:  # proves S-8
            assert release.value.answer() == 1

        (tmp_path / "away").rename(tmp_path / "store")
        workshop.promote(versions[1])

        await until(serving(keeper, 2), "the next version")

    play(story)


def test_a_release_whose_version_was_deleted_is_orphaned(
    play: Any, workshop: Any, versions: list[Version]
) -> None:
    """It serves from memory and says that it would not come up again."""

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        workshop.promote(versions[0])
        await keeper.wait_first(5)
        shutil.rmtree(versions[0].path("manifest.json").parent)
        await until(lambda: keeper.status.state == "orphaned", "the state")

        assert keeper.status.detail == "artwork-head/1 serves from memory: it is no longer in the store"
        with keeper.hold() as release:
            assert release.value.answer() == 1

    play(story)


def test_a_damaged_alias_is_said_and_changes_nothing(
    play: Any, workshop: Any, versions: list[Version], tmp_path: Path
) -> None:
    """An alias file that cannot be read leaves the release in service, with the reason."""

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        workshop.promote(versions[0])
        await keeper.wait_first(5)
        (tmp_path / "store/artwork-head/aliases/production.json").write_text("{")
        await until(lambda: "alias artwork-head@production is damaged" in keeper.status.detail, "the reason")

        assert keeper.status.state == "serving"
        assert keeper.status.version == versions[0]

    play(story)


def test_a_retirement_that_fails_takes_nothing_along(
    play: Any, workshop: Any, versions: list[Version], caplog: pytest.LogCaptureFixture
) -> None:
    """A failing `retire` is logged; the keeper goes on."""

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        workshop.promote(versions[0])
        await keeper.wait_first(5)
        with keeper.hold() as release:
            release.value.retired = True
            workshop.promote(versions[1])
            await until(serving(keeper, 2), "version 2")
        await until(lambda: "not retired cleanly" in caplog.text, "the log line")
        workshop.promote(versions[2])
        await until(serving(keeper, 3), "version 3")

    play(story)


def scene(workshop: Any, story: Callable[[Keeper, Consumer], Coroutine[Any, Any, None]]) -> None:
    async def body() -> None:
        consumer = Consumer()
        keeper = ReleaseKeeper(
            workshop.store, "artwork-head", "production", consumer.prepare, consumer.retire, POLL_S
        )
        await story(keeper, consumer)

    asyncio.run(asyncio.wait_for(body(), 20))


def test_closing_retires_what_is_held_after_a_while(workshop: Any, versions: list[Version]) -> None:
    """`close` waits for holders, but not for ever; then nothing is held any more."""

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        workshop.promote(versions[0])
        following = asyncio.create_task(keeper.run())
        await keeper.wait_first(5)
        following.cancel()
        with keeper.hold():
            await keeper.close(drain_s=0.05)
        assert consumer.retired == [1]
        with pytest.raises(NoRelease, match="is closed"), keeper.hold():
            raise AssertionError
        with pytest.raises(NoRelease, match="is closed"):
            await keeper.wait_first(0.1)

    scene(workshop, story)


def test_cancelled_while_preparing_the_present_release_stays(workshop: Any, versions: list[Version]) -> None:
    """Cancelling the keeper in the middle of a preparation leaves what serves serving."""

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        workshop.promote(versions[0])
        following = asyncio.create_task(keeper.run())
        await keeper.wait_first(5)
        consumer.gate = asyncio.Event()
        workshop.promote(versions[1])
        await until(lambda: consumer.prepared == [1, 2], "the preparation")
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following

        with keeper.hold() as release:
            assert release.value.answer() == 1
        await keeper.close()
        assert consumer.retired == [1]

    scene(workshop, story)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(moves=st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 3)), min_size=1, max_size=8))
def test_whatever_the_moves_no_held_release_is_retired(
    moves: list[tuple[int, bool, int]], tmp_path_factory: pytest.TempPathFactory, shop: Any
) -> None:
    """Any order of promotions, refusals and holders ends with the last good version serving, once each."""
    workshop, versions = shop

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        workshop.promote(versions[0])
        following = asyncio.create_task(keeper.run())
        await keeper.wait_first(5)
        held: list[tuple[Any, Release[Part]]] = []
        for target, fails, pause in moves:
            consumer.failure = ConnectionError("down") if fails else None
            workshop.promote(versions[target])
            context = keeper.hold()
            held.append((context, context.__enter__()))
            await asyncio.sleep(0.01 * pause)
            assert all(release.value.answer() for _, release in held)
        consumer.failure = None
        await until(serving(keeper, moves[-1][0] + 1), "the last version")
        assert all(release.value.answer() for _, release in held)
        for context, _ in held:
            context.__exit__(None, None, None)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await keeper.close()
        retired_count = len(consumer.retired)
        assert retired_count >= 1
        assert retired_count <= len(consumer.prepared)

    scene(workshop, story)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, make_workshop: Any) -> Any:
    workshop = make_workshop(tmp_path_factory.mktemp("shop"))
    return workshop, [workshop.publish("vector", seed=seed) for seed in range(3)]


def test_an_alias_that_cannot_be_read_is_reported_without_its_path(
    play: Any, workshop: Any, versions: list[Version], tmp_path: Path
) -> None:
    """The error of the disk is stated without the path of the file, since callers read it."""

    async def story(keeper: Keeper, consumer: Consumer) -> None:
        workshop.promote(versions[0])
        await keeper.wait_first(5)
        alias = tmp_path / "store" / versions[0].name / "aliases" / "production.json"
        alias.unlink()
        alias.mkdir()
        await until(lambda: "Is a directory" in keeper.status.detail, "the reason")
        assert keeper.status.state == "serving"
        assert str(tmp_path) not in keeper.status.detail

    play(story)
