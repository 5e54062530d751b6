"""Where the files of a model on the hub come from: the client's cache, or the hub itself."""

from __future__ import annotations

import glob
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from plm.errors import HubError


@dataclass(frozen=True)
class Request:
    """What is wanted from the hub."""

    name: str
    revision: str
    token: str | bool | None = field(repr=False)  # a secret: kept out of tracebacks
    cache_dir: str | Path | None

    @property
    def storage(self) -> Path:
        """The folder of this model in the client's cache, whose layout is public: refs/, snapshots/, blobs/."""
        from huggingface_hub import constants

        root = Path(self.cache_dir or constants.HF_HUB_CACHE).expanduser()
        return root / f"models--{self.name.replace('/', '--')}"


@dataclass(frozen=True)
class Cache:
    """The copy of a model that an earlier download left."""

    folder: Path
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"the copy in {self.folder}"

    def fetch(self, names: Collection[str]) -> Path:
        """Nothing to do: `names` are there, or they would not have been listed."""
        return self.folder

    @classmethod
    def open(cls, request: Request, reason: str) -> Cache:
        """Find the copy. reason: why nothing can be fetched, for the HubError when there is none."""
        folder = cls.find(request)
        if folder is None:
            raise HubError(
                f"{request.name}: neither a folder here nor revision {request.revision!r} in {request.storage}, and "
                f"nothing can be fetched ({reason}). Fetch it once while online (hf download {request.name}), set "
                "HF_HUB_CACHE or cache_dir to where it was fetched to, or give the path of a folder"
            )
        return cls(folder, tuple(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))

    @staticmethod
    def find(request: Request) -> Path | None:
        """The folder of the wanted revision, complete or not."""
        reference = request.storage / "refs" / request.revision
        commit = reference.read_text().strip() if reference.is_file() else request.revision
        folder = request.storage / "snapshots" / commit
        return folder if folder.is_dir() else None


@dataclass(frozen=True)
class Hub:
    """A model on the hub, at one commit."""

    request: Request
    commit: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.request.name} on the hub, revision {self.request.revision!r}"

    @classmethod
    def ask(cls, request: Request) -> Hub:
        """One question: which commit and which files. Raises HubError, `UnreachableError` where the cache can help."""
        from huggingface_hub import HfApi, constants

        timeout = constants.HF_HUB_ETAG_TIMEOUT  # seconds; left alone, the client would wait for ever here
        try:
            info = HfApi(token=request.token).model_info(request.name, revision=request.revision, timeout=timeout)
        except Exception as error:
            raise _explained(error, request) from error
        return cls(request, str(info.sha), tuple(sibling.rfilename for sibling in info.siblings or ()))

    def fetch(self, names: Collection[str]) -> Path:
        """Download files that the cache lacks; whole files only, the client checks sizes before it keeps one."""
        from huggingface_hub import snapshot_download

        cached = Cache.find(self.request)
        if cached is not None and cached.name == self.commit and all((cached / name).is_file() for name in names):
            return cached
        try:
            folder = snapshot_download(
                self.request.name,
                revision=self.request.revision,
                token=self.request.token,
                cache_dir=self.request.cache_dir,
                allow_patterns=[glob.escape(name) for name in names],
            )
        except Exception as error:
            raise _explained(error, self.request) from error
        absent = [name for name in names if not Path(folder, name).is_file()]
        if absent:
            raise HubError(f"{self}: {', '.join(absent)} did not arrive; the model changed meanwhile, fetch it again")
        return Path(folder)


class UnreachableError(HubError):
    """The hub gave no answer, so an earlier copy may be used."""


# What the client's exceptions mean, with the way out; the first kind that fits. Where a local entry is not found, the
# client lost its connection between the listing and the files.
_ANSWERS = {
    "HFValidationError": "not a name that a hub allows ('name' or 'owner/name'); a path begins with './' or '/'",
    "GatedRepoError": "access has to be granted to you on the model's page first; then pass token= or set HF_TOKEN",
    "RepositoryNotFoundError": (
        "neither a folder here nor a model that {endpoint} shows you; check the spelling, and if the model is private "
        "pass token= or set HF_TOKEN"
    ),
    "RevisionNotFoundError": "the model has no revision {revision!r}; leave revision away to get the main branch",
    "LocalEntryNotFoundError": "the connection to {endpoint} broke off; whole files were kept, fetch the rest again",
    "EntryNotFoundError": "{endpoint} lists a file that it does not have; fetch again later or take another revision",
}


def _explained(error: Exception, request: Request) -> HubError:
    """The HubError for an exception of the client; `UnreachableError` unless the hub itself said no."""
    from huggingface_hub import constants, errors

    def explain(text: str) -> str:
        return f"{request.name}: " + text.format(endpoint=constants.ENDPOINT, revision=request.revision)

    for kind, answer in _ANSWERS.items():
        if isinstance(error, getattr(errors, kind)):
            return HubError(explain(answer))
    if isinstance(error, errors.HfHubHTTPError) and error.response.status_code in (401, 403):
        return HubError(explain("{endpoint} refused the token; pass another one, or token=False for none"))
    said = " ".join(f"{type(error).__name__}: {error}".split())
    text = explain("could not be fetched from {endpoint}; try again, or set HF_ENDPOINT to a mirror")
    return UnreachableError(f"{text} ({said})")
