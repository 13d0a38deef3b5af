"""Packages stay as long as a function version or a layer needs them."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

from jupyter_lambda.engine import functions, layers, storage
from jupyter_lambda.engine.control import ControlPlane
from jupyter_lambda.store import packages as packages_module


def zipped(text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", text)
    return buffer.getvalue()


async def test_what_is_collected(service, monkeypatch):
    monkeypatch.setattr(packages_module, "GRACE_S", 0.0)
    plane, store = ControlPlane(service), service.store
    layer = await layers.publish(plane, "layer", zipped("layer"))
    unused = await layers.publish(plane, "unused", zipped("unused"))
    arn = service.account.layer_arn("layer", 1)
    changes = functions.Changes(
        role="arn:aws:iam::000000000000:role/r",
        runtime=service.runtimes.available()[0],
        handler="app.handler",
        layers=(arn,),
    )
    first = await functions.create(plane, "f", functions.CodeSource(zipped("one")), changes)
    second = await functions.update_code(plane, "f", functions.CodeSource(zipped("two")))
    await layers.delete(plane, "layer", 1)
    await layers.delete(plane, "unused", 1)
    assert await storage.collect(store) > 0
    kept = [code for code in (layer, unused, first, second) if _there(store, code.code_sha256)]
    assert kept == [layer, second]
    await functions.configure(plane, "f", replace(functions.Changes(), layers=()))
    await storage.collect(store)
    assert not _there(store, layer.code_sha256)


def _there(store, code_sha256: str) -> bool:
    from jupyter_lambda.errors import StoreError

    try:
        store.packages.zip_bytes(code_sha256)
    except StoreError:
        return False
    return True
