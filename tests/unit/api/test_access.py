"""Credentials, permissions and hosts."""

from __future__ import annotations

import logging
import stat

import pytest

from jupyter_lambda.api.hosts import Hosts
from jupyter_lambda.api.permissions import Permissions
from jupyter_lambda.engine.credentials import FILE_NAME, Credentials
from jupyter_lambda.errors import AccessDeniedException, StoreError
from jupyter_lambda.model.arn import LATEST, Account
from jupyter_lambda.model.function import FunctionVersion

VERSION = FunctionVersion("f", LATEST, "arn:aws:iam::000000000000:role/path/r", "", "", "")


def test_the_first_start_makes_a_key_and_the_next_reads_it(tmp_path):
    first = Credentials.load(tmp_path)
    path = tmp_path / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith("[default]\naws_access_key_id = AKIA")
    assert Credentials.load(tmp_path).owner == first.owner
    assert first.lookup(first.owner.access_key) is first.owner
    assert first.owner.secret_key not in repr(first.owner)


def test_botocore_reads_the_file(tmp_path):
    from botocore.credentials import SharedCredentialProvider

    owner = Credentials.load(tmp_path).owner
    read = SharedCredentialProvider(str(tmp_path / FILE_NAME), "default").load()
    assert (read.access_key, read.secret_key) == (owner.access_key, owner.secret_key)


def test_a_configured_key_replaces_the_one_in_the_file(tmp_path):
    old = Credentials.load(tmp_path).owner
    new = Credentials.load(tmp_path, "test").owner
    assert new.access_key == "test"
    assert new.secret_key != old.secret_key
    assert Credentials.load(tmp_path, "test").owner == new


def test_a_file_that_others_can_read_is_put_right(tmp_path, caplog):
    Credentials.load(tmp_path)
    path = tmp_path / FILE_NAME
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        Credentials.load(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "could be read by other users" in caplog.text


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[default]\n", "[default]\naws_access_key_id=\naws_secret_access_key=x\n"]
)
def test_a_damaged_file_is_named(tmp_path, text):
    path = tmp_path / FILE_NAME
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(StoreError, match=str(path)):
        Credentials.load(tmp_path)


def test_a_sandbox_has_a_key_of_its_own_until_it_is_gone(tmp_path):
    credentials = Credentials.load(tmp_path)
    one, two = credentials.issue(VERSION), credentials.issue(VERSION)
    assert one.access_key != two.access_key
    assert one.principal == "arn:aws:sts::000000000000:assumed-role/r/f"
    credentials.revoke(one.access_key)
    credentials.revoke(one.access_key)
    credentials.revoke("unknown")
    credentials.revoke(credentials.owner.access_key)
    assert credentials.lookup(one.access_key) is None
    assert credentials.expired(one.access_key)
    assert not credentials.expired("unknown")
    assert credentials.lookup(two.access_key) is two
    assert credentials.lookup(credentials.owner.access_key)


def test_what_a_function_may(tmp_path):
    credentials = Credentials.load(tmp_path)
    function = credentials.issue(VERSION)
    operations = ["Invoke", "InvokeAsync", "GetFunction", "ListTags", "CreateFunction", "DeleteFunction"]
    allowed = ["lambda:InvokeFunction", "lambda:get*", "lambda:List*"]
    permissions = Permissions(allowed, operations, Account())
    for operation in ("Invoke", "GetFunction", "ListTags"):
        permissions.check(function, operation, {"FunctionName": "g"})
    for operation in ("InvokeAsync", "CreateFunction", "DeleteFunction"):
        permissions.check(credentials.owner, operation, {})
        with pytest.raises(AccessDeniedException):
            permissions.check(function, operation, {})


def test_configured_hosts():
    hosts = Hosts(["Lab.Example"])
    hosts.check("lab.example:8000")
    hosts.check("LOCALHOST")
    for host in (None, "", "lab.example.evil", "[::2]", "127.0.0.2"):
        with pytest.raises(AccessDeniedException):
            hosts.check(host)
