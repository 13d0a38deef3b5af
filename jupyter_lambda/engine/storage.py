"""Which packages are still needed: removes from the store what no function or layer uses any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .functions import LAYER_PACKAGES

if TYPE_CHECKING:
    from jupyter_lambda.store import Store

_BATCH = 500


async def collect(store: Store) -> int:
    """Remove packages that nothing uses; to be called at start and now and then.

    A layer version that was deleted keeps its package as long as a function version names it.

    Returns:
        Bytes that were freed.
    Raises:
        StoreError: The packages can't be read or removed.
    """
    named = layer_packages(store)
    return await store.packages.collect(lambda code: code in named or store.functions.package_users(code))


def layer_packages(store: Store) -> set[str]:
    """CodeSha256 of every layer that some function version names."""
    found: set[str] = set()
    after: tuple[str, str] | None = None
    while batch := store.functions.list_all_versions(after, _BATCH):
        for version in batch:
            found.update(layer["CodeSha256"] for layer in version.extras.get(LAYER_PACKAGES, ()))
        after = batch[-1].name, batch[-1].version
    return found
