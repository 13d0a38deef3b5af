"""Which packages are still needed: removes from the store what no function or layer uses any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_lambda.store import Store


async def collect(store: Store) -> int:
    """Remove packages that nothing uses; to be called at start and now and then.

    A layer version that was deleted keeps its package as long as a function version names it.

    Returns:
        Bytes that were freed.
    Raises:
        StoreError: The packages can't be read or removed.
    """
    return await store.packages.collect(store.functions.package_users)
