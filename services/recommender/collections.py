"""Every collection of the process, by name."""

from collections.abc import Iterator, Mapping

from model_store.errors import InvalidName
from model_store.names import check_name
from services.recommender.release.collection import Collection
from services.recommender.wire import DEFAULT_COLLECTION
from services.runtime.errors import InvalidArgument, NotFound


class Collections:
    """The collections that the settings name."""

    def __init__(self, by_name: Mapping[str, Collection]) -> None:
        self._by_name = dict(by_name)

    def __iter__(self) -> Iterator[Collection]:
        return iter(self._by_name.values())

    def named(self, name: str) -> Collection:
        """The collection, `fashion` for ''. Raises NotFound: naming those that there are.

        Raises InvalidArgument: for what cannot be a collection's name.
        """
        _check(name)
        found = self._by_name.get(name or DEFAULT_COLLECTION)
        if found is None:
            raise NotFound(
                f"no collection {(name or DEFAULT_COLLECTION)[:64]!a}; there are "
                f"{', '.join(sorted(self._by_name))}",
                reason="NO_COLLECTION",
            )
        return found


def _check(name: str) -> None:
    try:
        check_name(name or DEFAULT_COLLECTION, "collection")
    except InvalidName as error:
        raise InvalidArgument(str(error), reason="INVALID_NAME", field="collection") from error
