"""Models on the Hugging Face hub; the one door to its client.

Of a repository two files are read, the description and the safetensors; no code and no pickle is.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from regmix_bench.errors import UserError, reason
from regmix_bench.loading.folders import CARD, CONFIG, WEIGHTS, load_export, read_config
from regmix_bench.loading.model import LoadedModel

#: What an address of the hub begins with: ``hf:ORG/NAME`` or ``hf:ORG/NAME@REVISION``.
HUB = "hf:"

#: Bytes that are fetched of each file, at most.
LARGEST = {CONFIG: 2**20, WEIGHTS: 2**33}

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,99}", re.ASCII)


class Address(NamedTuple):
    """A repository on the hub, ``ORG/NAME``, and its revision: a branch, a tag or a commit."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{HUB}{self.repository}" + (f"@{self.revision}" if self.revision else "")


def from_hub(text: str) -> LoadedModel:
    """Load the model at an address; its note says which commit it is.

    Raises :class:`UserError` for an address that is none, and as :func:`fetch` and
    :func:`~regmix_bench.loading.folders.load_export` do.
    """
    address = parse_address(text)
    folder, commit = fetch(address)
    loaded = load_export(folder, read_config(folder))
    return replace(loaded, notes=(*loaded.notes, f"{address} is at commit {commit}"))


def parse_address(text: str) -> Address:
    """Return the repository and the revision of ``hf:ORG/NAME@REVISION``."""
    repository, at, revision = text.removeprefix(HUB).partition("@")
    address = Address(require_repository(repository), revision if at else None)
    if at and (".." in revision or not _REVISION.fullmatch(revision)):
        raise UserError(f"{text!r} names no revision: write it like hf:ORG/NAME@main")
    return address


def require_repository(text: str) -> str:
    """Return ``text`` where it names a repository; raises :class:`UserError` otherwise."""
    if ".." in text or not _REPOSITORY.fullmatch(text):
        raise UserError(f"{text!r} names no repository of the hub: write it like ORG/NAME")
    return text


def fetch(address: Address) -> tuple[Path, str]:
    """Fetch the description and the weights into the client's cache: their folder, and the commit.

    Raises :class:`UserError` where the hub cannot be reached, has no such repository, revision or
    file, or has one that is larger than it can reasonably be or than it says.
    """
    api = _import_client().HfApi()
    with _explained(address):
        about = api.model_info(
            address.repository, revision=address.revision, files_metadata=True, timeout=30
        )
        sizes = {file.rfilename: file.size for file in about.siblings or ()}
        for name, largest in LARGEST.items():
            if name not in sizes:
                raise UserError(f"{address} is no model of regmix-bench: it has no {name}")
            if sizes[name] is None or sizes[name] > largest:
                said = "of unknown size" if sizes[name] is None else f"of {sizes[name]:,} bytes"
                raise UserError(f"{address} has a {name} {said}, and at most {largest:,} are read")
        for name in LARGEST:
            path = Path(api.hf_hub_download(address.repository, name, revision=about.sha))
            if (found := path.stat().st_size) != sizes[name]:
                raise UserError(f"{name} of {address} has {found:,} bytes, not {sizes[name]:,}")
    return path.parent, str(about.sha)


def require_token() -> None:
    """Raise :class:`UserError` where there is no client, or no token to write to the hub with."""
    if _import_client().get_token() is None:
        raise UserError("no token of the Hugging Face hub: set HF_TOKEN, or type: hf auth login")


def upload(folder: Path, repository: str) -> None:
    """Write the files of an exported folder to a repository, which is made if need be.

    They are one commit. Raises :class:`UserError` where the hub cannot be reached or refuses.
    """
    client = _import_client()
    api = client.HfApi()
    with _explained(Address(repository)):
        api.create_repo(repository, exist_ok=True)
        api.create_commit(
            repository,
            [client.CommitOperationAdd(name, folder / name) for name in (WEIGHTS, CONFIG, CARD)],
            commit_message="Upload a model of regmix-bench",
        )


def _import_client() -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise UserError(
            "the Hugging Face hub needs a package that is not installed:"
            ' pip install "regmix-bench[hub]"'
        ) from error


@contextmanager
def _explained(address: Address) -> Iterator[None]:
    """Raise for what the client raises a :class:`UserError`, one line that says what to mend."""
    errors = importlib.import_module("huggingface_hub.errors")
    try:
        yield
    except errors.GatedRepoError as error:
        raise UserError(f"{address} is gated: accept its terms on the hub first") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"the hub has no {address.repository}, or it is private and no token that may read it"
            " is set (HF_TOKEN)"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(
            f"{address.repository} has no revision {address.revision!r} on the hub"
        ) from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        refusals = {401: "refuses the token", 403: "does not let this token do that"}
        said = refusals.get(status or 0)
        raise UserError(
            f"the hub {said}: {address.repository}"
            if said
            else f"the hub fails at {address.repository}: {reason(error)}"
        ) from error
    except (errors.HTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"cannot reach the hub for {address.repository}: {reason(error)}"
        ) from error
