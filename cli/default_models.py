"""The models that come with Atelier, put into a store of one's own: nothing is downloaded, no torch."""

from collections.abc import Sequence

import defaults
from inference.golden import check_in_child
from model_store.store import ModelStore, Version
from model_store.transfer import copy_version


def adopt_defaults(store: ModelStore, names: Sequence[str]) -> dict[str, Version]:
    """The packaged production version of each model, copied into `store` with what it was derived from.

    A version that is there already is taken as it is; no alias moves.
    Raises NotFound: for a model that does not come with Atelier.
    """
    packaged = ModelStore.at(defaults.STORE)
    return {name: copy_version(packaged.resolve(name), store, check_in_child) for name in names}
