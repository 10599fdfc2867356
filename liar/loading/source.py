"""Finding a model's files: in a local folder, in the hub's cache, or on the hub after one short request."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    get_session,
    hf_hub_url,
    hf_raise_for_status,
    try_to_load_from_cache,
)
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RevisionNotFoundError
from huggingface_hub.utils import build_hf_headers, validate_repo_id  # type: ignore[attr-defined]
from transformers import PreTrainedConfig

from liar.errors import ModelNotFoundError
from liar.loading.supported import check_supported
from liar.presets import meant, preset_of, split_revision

PROBE_SECONDS = 8.0
"""Time limit of the first request to the Hub, which shows whether it can be reached."""

_HTTP_NOT_FOUND = (401, 403, 404)  # the hub answers 401 for an id that does not exist

_CONVERSION_BOT = "SFconvertbot"
_CONVERSION_TITLE = "Adding `safetensors` variant of this model"
"""Author and title of the pull requests in which the Hub offers a pickled checkpoint as safetensors."""


@dataclass(frozen=True, slots=True)
class Source:
    """A folder or hub id to load from. ``local_only`` stops requests to a hub that is out of reach; ``revision`` is the
    commit, branch, tag or ``refs/pr/N`` of a hub id, None for the default branch.
    """

    path: str
    local_only: bool
    revision: str | None = None

    @property
    def name(self) -> str:
        """Folder, ``id`` or ``id@revision``, for messages."""
        return self.path if self.revision is None else f"{self.path}@{self.revision}"

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments for every ``from_pretrained``: no remote code, no requests if ``local_only``."""
        options = {"local_files_only": self.local_only, "trust_remote_code": False}
        return options if self.revision is None else {**options, "revision": self.revision}


def is_hub_id(name: str) -> bool:
    """Whether ``name`` has the form of a hub id, owner/name or name; makes no request."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def local_folder(model: str) -> Path | None:
    """The local folder ``model``; None if there is none."""
    path = os.path.expanduser(model)
    return Path(path) if os.path.isdir(path) else None


def hub_model(model: str) -> tuple[str, str | None]:
    """Hub id and revision of ``model``: an explicit ``id@revision``, else the revision of its preset, if it has one."""
    id, revision = split_revision(model)
    preset = preset_of(model)
    return id, revision if preset is None else preset.revision


def find_model(model: str) -> Source:
    """Find the source of ``model``: a local folder, a hub id, or ``id@revision``; a preset gets the revision of its table.

    Raises :class:`ModelNotFoundError` within seconds if the id or revision is malformed, unknown, gated, or out of
    reach and not cached.
    """
    if (folder := local_folder(model)) is not None:
        return Source(str(folder), local_only=True)
    id, revision = hub_model(model)
    if local_folder(id) is not None:  # only with a revision; transformers would take the folder
        raise ModelNotFoundError(
            f"The folder {id!r} of the working directory hides the hub model {model!r}, and has no revisions; name the "
            "folder alone, or start elsewhere."
        )
    try:
        # One request with a short timeout: transformers itself would retry long, once for every file.
        get_hf_file_metadata(hf_hub_url(id, "config.json", revision=revision), timeout=PROBE_SECONDS)
    except HFValidationError:
        raise ModelNotFoundError(_not_an_id(model)) from None
    except GatedRepoError:
        raise ModelNotFoundError(
            f"Access to {id!r} is gated; accept its licence on its page and log in with `hf auth login`."
        ) from None
    except RevisionNotFoundError:
        raise ModelNotFoundError(
            f"The hub model {id!r} has no revision {revision!r}; take a branch, tag, commit or pull request (refs/pr/N) "
            "that its page lists."
        ) from None
    except Exception as error:
        if isinstance(error, HfHubHTTPError) and error.response.status_code in _HTTP_NOT_FOUND:
            advice = meant(model) or "check the spelling, or log in with `hf auth login`."
            raise ModelNotFoundError(f"The hub has no model {model!r} that you may read; {advice}") from None
        if not isinstance(error, OSError) and not is_network_error(error):
            raise
        if (folder := cached_folder(model)) is not None:
            # The folder and not the id: given an id, some loaders send requests in spite of local_files_only.
            return Source(str(folder), local_only=True)
        advice = meant(model) or "check the path or the network, or take one of the demo models (see `liar models`)."
        raise ModelNotFoundError(f"There is no folder {model!r}, and the hub cannot be reached; {advice}") from error
    return Source(id, local_only=False, revision=revision)


def _not_an_id(model: str) -> str:
    """Error for a name that is neither a folder nor of the form of a hub id, with or without revision."""
    id, at, revision = model.partition("@")
    if at and is_hub_id(id):
        return (
            f"There is no folder {model!r}, and {revision!r} cannot be a revision of {id!r}; name a branch, a tag, a commit "
            f"or a pull request after the @, as in {id}@refs/pr/1."
        )
    advice = meant(model) or "ids look like owner/name or owner/name@revision, see `liar models`."
    return f"There is no folder {model!r}, and it is not a hub id either; {advice}"


def conversion_of(source: Source) -> str | None:
    """``id@refs/pr/N`` of the open pull request in which the Hub's bot offers the weights of ``source`` as safetensors.

    None if there is no other than ``source`` itself, for a local source, and if the Hub does not answer in time.
    """
    if source.local_only:
        return None
    try:
        # The client's own search of discussions has no time limit.
        answer = get_session().get(
            f"{constants.ENDPOINT}/api/models/{source.path}/discussions",
            params={"type": "pull_request", "status": "open", "author": _CONVERSION_BOT},
            headers=build_hf_headers(),
            timeout=PROBE_SECONDS,
        )
        hf_raise_for_status(answer)
        numbers = [int(item["num"]) for item in answer.json()["discussions"] if _is_conversion(item)]
    except Exception as error:
        in_another_form = isinstance(error, (ValueError, KeyError, TypeError, AttributeError))
        if not in_another_form and not isinstance(error, OSError) and not is_network_error(error):
            raise
        return None
    found = Source(source.path, local_only=False, revision=f"refs/pr/{max(numbers, default=0)}")
    return found.name if numbers and found != source else None


def _is_conversion(discussion: dict[str, Any]) -> bool:
    """Whether a discussion is what the bot opens: anyone may give a pull request the same title."""
    wanted = (True, "open", _CONVERSION_TITLE, _CONVERSION_BOT)
    found = (discussion["isPullRequest"], discussion["status"], discussion["title"], discussion["author"]["name"])
    return found == wanted


def weight_bytes(folder: Path) -> int:
    """Bytes of the safetensors in ``folder``; 0 if there are none."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def is_network_error(error: Exception) -> bool:
    """Whether ``error`` is a network error of httpx, the hub client's HTTP library, which is no dependency of this package."""
    return "TransportError" in {parent.__name__ for parent in type(error).__mro__}


def cached_folder(model: str) -> Path | None:
    """Folder of the hub model ``model`` in the cache of the Hub; None if it is not there."""
    id, revision = hub_model(model)
    config = try_to_load_from_cache(id, "config.json", revision=revision) if is_hub_id(id) else None
    return Path(config).parent if isinstance(config, str) else None


def read_config(source: Source) -> dict[str, Any]:
    """The raw ``config.json``.

    Raises :class:`ModelNotFoundError` if it cannot be read, :class:`UnsupportedModelError` for a kind of model
    that cannot be pruned.
    """
    try:
        config, _ = PreTrainedConfig.get_config_dict(source.path, **source.options)
    except (OSError, ValueError):
        config = {}
    if not config:
        raise ModelNotFoundError(
            f"{source.name!r} has no readable config.json; name a folder or hub id of a transformers model."
        )
    check_supported(config)
    return config
