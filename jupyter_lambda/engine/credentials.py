"""Who may speak to the engine: its owner, whose key is kept in a file, and each sandbox, whose key lives in memory."""

from __future__ import annotations

import configparser
import logging
import os
import secrets
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from jupyter_lambda.errors import StoreError
from jupyter_lambda.model.arn import Account
from jupyter_lambda.model.function import FunctionVersion

log = logging.getLogger(__name__)

#: In the state directory, mode 0600, AWS's shared-credentials format.
FILE_NAME = "credentials"
_PROFILE = "default"
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
#: Keys of sandboxes that are gone, remembered so that late callers learn that their key has expired.
_REVOKED_MAX = 1024


@dataclass(frozen=True, slots=True)
class Credential:
    """One access key and whom it stands for."""

    access_key: str
    secret_key: str
    #: Session token of a sandbox's credential; None for the owner.
    token: str | None
    #: ARN of the user or assumed role.
    principal: str
    #: None for the owner.
    function_name: str | None

    def __repr__(self) -> str:
        return f"Credential({self.access_key}, {self.principal})"  # a secret has no place in a log


class Credentials:
    """The owner's credential and those of the sandboxes that run now."""

    def __init__(self, owner: Credential, account: Account) -> None:
        self.owner = owner
        self._account = account
        self._known: dict[str, Credential] = {owner.access_key: owner}
        self._revoked: OrderedDict[str, None] = OrderedDict()

    @classmethod
    def load(cls, state_dir: Path, access_key: str | None = None, *, account: Account | None = None) -> Credentials:
        """Read the owner's key, making one at the first start.

        Args:
            access_key: The access key to have; where the file has another, it is replaced with a new secret.
        Raises:
            StoreError: The file can't be read or written, or is not of AWS's format.
        """
        account = account or Account()
        path = state_dir / FILE_NAME
        pair = _read(path)
        if pair is None or (access_key is not None and pair[0] != access_key):
            pair = (access_key or "AKIA" + _letters(16), secrets.token_urlsafe(30))
            _write(path, *pair)
        principal = f"arn:{account.partition}:iam::{account.account_id}:root"
        return cls(Credential(pair[0], pair[1], None, principal, None), account)

    def lookup(self, access_key: str) -> Credential | None:
        """The credential of an access key; None when it is not known or no longer valid."""
        return self._known.get(access_key)

    def expired(self, access_key: str) -> bool:
        """True when the key belonged to a sandbox that is gone."""
        return access_key in self._revoked

    def issue(self, version: FunctionVersion) -> Credential:
        """A new credential for one sandbox of a function, valid until it is revoked or the engine ends."""
        account = self._account
        role = version.role.rpartition("/")[2] or "lambda"
        principal = f"arn:{account.partition}:sts::{account.account_id}:assumed-role/{role}/{version.name}"
        credential = Credential(
            "ASIA" + _letters(16), secrets.token_urlsafe(30), secrets.token_urlsafe(48), principal, version.name
        )
        self._known[credential.access_key] = credential
        return credential

    def revoke(self, access_key: str) -> None:
        """End a sandbox's credential. The owner's can't be ended; an unknown one is no error."""
        if access_key != self.owner.access_key and self._known.pop(access_key, None) is not None:
            self._revoked[access_key] = None
            while len(self._revoked) > _REVOKED_MAX:
                self._revoked.popitem(last=False)


def _letters(count: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(count))


def _read(path: Path) -> tuple[str, str] | None:
    """The pair in the file; None when there is no file. Permissions that let others read it are put right."""
    try:
        status = path.stat()
        if status.st_mode & 0o077:
            path.chmod(0o600)
            log.warning(
                "%s could be read by other users of this machine (mode %o); it is now 0600. If others may have seen "
                "it, delete it and start the engine again: a new key is made.",
                path,
                status.st_mode & 0o777,
            )
        text = path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise StoreError(f"the credentials file {path} can't be read: {exc}") from exc
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
        section = parser[_PROFILE]
        pair = section["aws_access_key_id"].strip(), section["aws_secret_access_key"].strip()
    except (configparser.Error, KeyError) as exc:
        raise StoreError(
            f"the credentials file {path} has no complete [{_PROFILE}] profile ({exc}); mend it, or delete it to "
            "have a new key made"
        ) from exc
    if not all(pair):
        raise StoreError(f"the credentials file {path} has an empty key; delete it to have a new one made")
    return pair


def _write(path: Path, access_key: str, secret_key: str) -> None:
    """Replace the file as a whole: a reader sees the old one or the new one."""
    text = f"[{_PROFILE}]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{FILE_NAME}-")  # mode 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise StoreError(f"the credentials file {path} can't be written: {exc}") from exc
