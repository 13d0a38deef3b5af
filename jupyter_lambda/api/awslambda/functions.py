"""Functions: CreateFunction to ListFunctions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.downloads import package_url
from jupyter_lambda.engine import functions
from jupyter_lambda.engine.control import page_size, read_marker, write_marker
from jupyter_lambda.errors import InvalidParameterValueException
from jupyter_lambda.model.function import FunctionVersion

from .configuration import KEPT, changes, configuration, refuse_unbuilt
from .s3_code import fetched

WITHOUT_EFFECT = {
    "CreateFunction": KEPT,
    "UpdateFunctionConfiguration": KEPT,
    "ListFunctions": {"MasterRegion": "there is one region"},
}


async def create_function(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "CreateFunction"."""
    params = call.params
    name, qualifier = call.named()
    if qualifier is not None:
        raise InvalidParameterValueException("A function is created without a version or alias in its name.")
    tags = params.get("Tags", {})
    functions.check_tags(tags)
    version = await functions.create(
        call.plane,
        name,
        await _code(call, params.get("Code", {})),
        changes(params, call.request),
        package_type=params.get("PackageType", "Zip"),
        tags=tags,
        publish=params.get("Publish", False),
    )
    return configuration(version, call.plane.account)  # the plain ARN, as on AWS, even of a published version


async def get_function(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "GetFunction"."""
    name, qualifier = call.named()
    version = call.plane.version(name, qualifier)
    function = call.plane.function(name)
    reserved = function.reserved_concurrency
    return {
        "Configuration": configuration(version, call.plane.account, qualifier=qualifier),
        "Code": _location(call, version),
        "Tags": dict(function.tags) or None,
        "Concurrency": None if reserved is None else {"ReservedConcurrentExecutions": reserved},
    }


async def get_function_configuration(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "GetFunctionConfiguration"."""
    name, qualifier = call.named()
    return configuration(call.plane.version(name, qualifier), call.plane.account, qualifier=qualifier)


async def update_function_code(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "UpdateFunctionCode"."""
    params = call.params
    refuse_unbuilt(params)
    name, _ = call.named()
    publish = params.get("Publish", False)
    dry_run = params.get("DryRun", False)
    architectures = params.get("Architectures")
    version = await functions.update_code(
        call.plane,
        name,
        await _code(call, params),
        architectures=None if architectures is None else tuple(architectures),
        revision_id=params.get("RevisionId"),
        publish=publish,
        dry_run=dry_run,
    )
    return configuration(version, call.plane.account, qualifier=version.version if publish and not dry_run else None)


async def update_function_configuration(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "UpdateFunctionConfiguration"."""
    name, _ = call.named()
    given = changes(call.params, call.request)
    version = await functions.configure(call.plane, name, given, revision_id=call.params.get("RevisionId"))
    return configuration(version, call.plane.account)


async def delete_function(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "DeleteFunction"."""
    name, qualifier = call.named()
    await functions.delete(call.plane, name, qualifier)
    return {"StatusCode": 204}


async def list_functions(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "ListFunctions"."""
    params = call.params
    size = page_size(params.get("MaxItems"))
    store = call.service.store.functions
    account = call.plane.account
    marker = None
    if params.get("FunctionVersion") == "ALL":
        pair = read_marker(params.get("Marker"), str, str)
        every = store.list_all_versions((pair[0], pair[1]) if pair else None, size + 1)
        listed = [configuration(v, account, qualifier=v.version, listed=True) for v in every[:size]]
        if len(every) > size:
            marker = write_marker(every[size - 1].name, every[size - 1].version)
    else:
        after = read_marker(params.get("Marker"), str)
        latest = store.list(after[0] if after else None, size + 1)
        listed = [configuration(f.latest, account, listed=True) for f in latest[:size]]
        if len(latest) > size:
            marker = write_marker(latest[size - 1].name)
    return {"Functions": listed, "NextMarker": marker}


async def _code(call: Call, given: Mapping[str, Any]) -> functions.CodeSource:
    zip_file = given.get("ZipFile") if "ZipFile" in given else await fetched(call, given)
    return functions.CodeSource(zip_file, given.get("ImageUri"))


def _location(call: Call, version: FunctionVersion) -> dict[str, Any]:
    if version.package_type == "Image":
        image = version.image_uri or ""
        repository = image.partition("@")[0]
        if ":" in repository.rpartition("/")[2]:
            repository = repository.rpartition(":")[0]
        resolved = f"{repository}@sha256:{version.code_sha256}"
        return {"RepositoryType": "ECR", "ImageUri": image, "ResolvedImageUri": resolved}
    return {"RepositoryType": "S3", "Location": package_url(call, version.code_sha256)}
