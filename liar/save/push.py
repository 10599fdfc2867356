"""Push a saved checkpoint to a repository of the Hub.

The token comes from the environment variable ``HF_TOKEN``, read for each use, or with a :class:`Credential` from somebody's
login. No message contains it.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

from liar.errors import LiarError, PushError
from liar.loading.source import is_hub_id, is_network_error
from liar.save.checkpoint import MODELLING, RESULT_FILE, check_checkpoint

TOKEN = "HF_TOKEN"

_STALE = ["model*.safetensors", "model.safetensors.index.json", f"{MODELLING}.py"]
"""Files of an earlier checkpoint in the repository, which a loader would read together with the new ones."""

_NEVER = [".*", "*/.*", "*__pycache__*"]

_REFUSALS = {
    401: "The Hub refuses {name}; {renewal}.",
    402: "The Hub asks for a payment before it takes {repo}; look at the billing page of your account there.",
    403: "With {name} one may not write to {repo}; give it that permission, or choose another repository.",
    404: "The Hub has no {repo} any more; somebody deleted or renamed it meanwhile, {again}.",
    **dict.fromkeys((409, 412), "Somebody else changed {repo} meanwhile; look at what is there, and {again}."),
    429: "The Hub has had too many requests of yours; wait some minutes and {again}.",
}


@dataclass(frozen=True, slots=True)
class Credential:
    """A ``token`` of the Hub; ``name`` is what messages call it, ``renewal`` how to get a better one."""

    token: str = field(repr=False)
    name: str
    renewal: str

    @classmethod
    def of_environment(cls) -> Credential:
        """The token in ``HF_TOKEN``; raises :class:`PushError` if there is none."""
        token = os.environ.get(TOKEN, "").strip()
        if not token:
            raise PushError(
                "A push needs a token: make one that may write, in the settings of your account on the Hub, and set "
                f"{TOKEN} to it."
            )
        if not re.fullmatch(r"[!-~]+", token):  # the HTTP library would quote it in its error message
            raise PushError(
                f"{TOKEN} holds characters that no token has; copy the token again, all of it and nothing else."
            )
        return cls(
            token, f"the token in {TOKEN}", "make a new one that may write, in the settings of your account there"
        )

    @classmethod
    def of_login(cls, token: str) -> Credential:
        """The token of a visitor who has signed in on the page."""
        return cls(token, "your login", "sign out and in again")


@dataclass(frozen=True, slots=True)
class Destination:
    """A writable repository, owner/name; ``private`` makes a new one private."""

    repo: str
    private: bool


def find_destination(repo: str, *, private: bool = False, credential: Credential | None = None) -> Destination:
    """Check with the Hub that ``repo`` can be written to, before any work is done for it; nothing is created.

    The owner of a name without one is the account of the ``credential``, by default that of the environment. Raises
    :class:`PushError` if the id is invalid, the token is missing or refused, the account may not write for the owner, the
    repository holds a model that LIAR did not make or is public against ``private``, or the Hub cannot be reached.
    """
    if not is_hub_id(repo):
        raise PushError(f"{repo!r} cannot be the name of a repository; names look like owner/name.")
    credential = credential or Credential.of_environment()
    api = HfApi(token=credential.token)
    with _in_a_sentence(repo, credential):
        who = api.whoami()
    if who.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise PushError(f"With {credential.name} one may only read; {credential.renewal}.")
    writable = [item["name"] for item in who.get("orgs", []) if item.get("roleInOrg") != "read"]
    owner, _, name = repo.rpartition("/")
    owner = owner or who["name"]
    if owner not in (who["name"], *writable):
        others = f" or one of {', '.join(writable)}" if writable else ""
        raise PushError(f"{repo} belongs to somebody else; the owner has to be {who['name']}{others}.")
    destination = Destination(f"{owner}/{name}", private)
    with _in_a_sentence(destination.repo, credential), suppress(RepositoryNotFoundError):
        found = api.model_info(destination.repo)
        files = {file.rfilename for file in found.siblings or []}
        if "config.json" in files and RESULT_FILE not in files:
            raise PushError(f"{destination.repo} holds a model that LIAR did not make; choose another name.")
        if private and not found.private:
            raise PushError(
                f"{destination.repo} exists and everybody may read it; make it private in its settings, or choose another "
                "name."
            )
    return destination


def push_checkpoint(
    folder: Path, destination: Destination, *, credential: Credential | None = None, again: str | None = None
) -> str:
    """Upload all of ``folder`` except hidden files, create the repository if it is missing, and return its address.

    One commit uploads everything and deletes weights and code of an earlier checkpoint. ``again`` says in a message how to
    repeat it, by default with the command. Raises :class:`ModelNotFoundError` if ``folder`` is no complete checkpoint, and
    :class:`PushError`.
    """
    check_checkpoint(folder)
    credential = credential or Credential.of_environment()
    api = HfApi(token=credential.token)
    command = ["liar", "push", str(folder), destination.repo, *(["--private"] if destination.private else [])]
    with _in_a_sentence(destination.repo, credential, again or f"run `{shlex.join(command)}`"):
        address = api.create_repo(destination.repo, private=destination.private or None, exist_ok=True)
        api.upload_folder(
            repo_id=destination.repo,
            folder_path=folder,
            commit_message="A model pruned and repaired by LIAR",
            ignore_patterns=_NEVER,
            delete_patterns=_STALE,
        )
    return str(address)


@contextmanager
def _in_a_sentence(repo: str, credential: Credential, again: str = "try again") -> Iterator[None]:
    """Turn errors of the Hub or the network into a :class:`PushError` that names ``repo`` and how to try ``again``."""
    try:
        yield
    except LiarError:
        raise
    except Exception as error:
        sentence = _sentence(error, credential.token)
        if sentence is None:
            raise
        words = {"repo": repo, "again": again, "name": credential.name, "renewal": credential.renewal}
        # From None, because some of these errors hold the request, which contains the token.
        raise PushError(sentence.format(**words)) from None


def _sentence(error: Exception, token: str) -> str | None:
    """Message with the cause and the remedy, a template with {repo} and {again}; None if the error is a bug."""
    chain = list(_causes(error))
    refused = next((cause for cause in chain if isinstance(cause, HfHubHTTPError)), None)
    if refused is not None:
        status = refused.response.status_code
        if status >= 500:
            return f"The Hub has trouble of its own (status {status}); wait a while and {{again}}."
        reason = _first_line(refused.server_message or "no reason given", token)
        return _REFUSALS.get(status, f"The Hub refuses {{repo}} (status {status}: {reason}); mend that and {{again}}.")
    if any(isinstance(cause, OfflineModeIsEnabled) for cause in chain):
        return "The Hub may not be asked while HF_HUB_OFFLINE is set; unset it and {again}."
    if any(is_network_error(cause) for cause in chain):
        return "The Hub cannot be reached or the line was cut; nothing is lost, check the network and {again}."
    if isinstance(error, (ValueError, RuntimeError, OSError)):
        return f"The upload to {{repo}} failed ({_first_line(str(error), token)}); {{again}}."
    return None


def _causes(error: BaseException | None) -> Iterator[Exception]:
    """``error`` and its causes: uploads of large files run in threads, which wrap the original error."""
    while isinstance(error, Exception):
        yield error
        error = error.__cause__


def _first_line(text: str, token: str) -> str:
    """First line of a foreign message, at most 200 characters, without braces and without the token."""
    line = (text.strip() or "no reason given").splitlines()[0]
    return line.replace(token, "(token)").replace("{", "(").replace("}", ")")[:200].rstrip(".")
