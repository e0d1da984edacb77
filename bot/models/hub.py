"""The model hub: what a repository holds, and fetching its files, resumed and verified.

It talks to the Hugging Face hub or a mirror of it through huggingface_hub. Which files belong to a
model stands in `hub_files.py`; where they are kept is the library's business.
"""

import os
import ssl
from collections.abc import Callable, Generator
from contextlib import contextmanager
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from pathlib import Path
from typing import TYPE_CHECKING

from bot.errors import DownloadFailed
from bot.models.hub_files import RemoteFile, RemoteModel, belonging, remote_file
from bot.translations import gettext as _
from config.catalogue import ModelEntry
from config.settings import HubSettings

if TYPE_CHECKING:
    import httpx2

TIMEOUT_S = 30.0
MAX_RETRIES = 5
"""How often a broken transfer is taken up again in one pull, as long as each attempt gets on."""


class Hub:
    """Access to the hub as configured. Everything that fails is told as `DownloadFailed`."""

    def __init__(self, settings: HubSettings) -> None:
        self._settings = settings
        self._token = settings.token.get_secret_value() if settings.token else None

    @contextmanager
    def session(self, entry: ModelEntry) -> Generator["HubSession"]:
        """Connect for one model; strict offline refuses before anything is imported or sent.

        One session at a time in a process: huggingface_hub has one client for all.
        """
        self.refuse_offline(entry)
        # Read once, when huggingface_hub is imported: no more is sent than a download needs.
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        os.environ.setdefault("HF_HUB_DISABLE_UPDATE_CHECK", "1")
        # Imported here: it takes a third of a second, and only a pull needs it.
        from huggingface_hub import close_session, is_offline_mode, set_client_factory

        if is_offline_mode():
            raise DownloadFailed(
                _("{name} cannot be downloaded: HF_HUB_OFFLINE is set. Unset it.").format(
                    name=entry.name
                )
            )
        with self._told(entry):
            client = self._client(entry)
            set_client_factory(lambda: client)
            try:
                yield HubSession(self._settings.endpoint, self._token)
            finally:
                close_session()
                client.close()

    def refuse_offline(self, entry: ModelEntry) -> None:
        """Raise `DownloadFailed` where nothing may be downloaded, wherever it comes from."""
        if self._settings.offline:
            raise DownloadFailed(
                _(
                    "{name} cannot be downloaded: FIRESIDE_HUB__OFFLINE is set. Unset it, or put "
                    "the files in a folder and name that in fireside.toml."
                ).format(name=entry.name)
            )

    def _client(self, entry: ModelEntry) -> "httpx2.Client":
        import httpx2  # with huggingface_hub, see above

        verify: bool | ssl.SSLContext = True
        if self._settings.ca_file is not None:
            try:
                verify = ssl.create_default_context(cafile=str(self._settings.ca_file))
            except OSError as error:
                problem = _("the certificates of FIRESIDE_HUB__CA_FILE cannot be read")
                raise _failed(entry, problem, _("It names a file in PEM format.")) from error
        return httpx2.Client(verify=verify, follow_redirects=True, timeout=TIMEOUT_S)

    @contextmanager
    def _told(self, entry: ModelEntry) -> Generator[None]:
        """Every failure of the hub, the network and the disk, in words and with advice."""
        import httpx2  # with huggingface_hub, see above
        from huggingface_hub import errors

        try:
            yield
        except errors.GatedRepoError as error:
            raise self._gated(entry) from error
        except errors.RevisionNotFoundError as error:
            raise _failed(
                entry,
                _("{repository} has no revision {revision}").format(
                    repository=entry.repository, revision=entry.revision
                ),
                _("Correct it in fireside.toml."),
            ) from error
        except errors.HfHubHTTPError as error:
            raise self._refused(entry, error.response.status_code) from error
        except httpx2.HTTPError as error:
            raise self._unreachable(entry, error) from error
        except OSError as error:
            raise self._on_disk(entry, error) from error
        except (ValueError, TypeError, KeyError) as error:
            raise _failed(
                entry,
                _("{endpoint} does not answer like a model hub").format(
                    endpoint=self._settings.endpoint
                ),
                _("Check FIRESIDE_HUB__ENDPOINT and the proxy."),
            ) from error

    def _gated(self, entry: ModelEntry) -> DownloadFailed:
        page = f"{self._settings.endpoint}/{entry.repository}"
        return _failed(
            entry,
            _("{repository} asks for permission first").format(repository=entry.repository),
            _(
                "Accept its terms at {page}, then set FIRESIDE_HUB__TOKEN to a token of "
                "that account."
            ).format(page=page),
        )

    def _refused(self, entry: ModelEntry, status: int) -> DownloadFailed:
        if status in (401, 403) and self._token:
            problem = _("the hub refused the token")
            advice = _("Check FIRESIDE_HUB__TOKEN: is it valid, and may it read this model?")
        elif status in (401, 403, 404):
            problem = _("{repository} is not on the hub, or is private").format(
                repository=entry.repository
            )
            advice = _("Check its name; for a private model set FIRESIDE_HUB__TOKEN.")
        elif status == 429:
            problem = _("the hub says that there were too many requests")
            advice = _("Wait some minutes and try again; what was downloaded is kept.")
        else:
            problem = _("the hub answered with error {status}").format(status=status)
            advice = _("Try again later; what was downloaded is kept.")
        return _failed(entry, problem, advice)

    def _unreachable(self, entry: ModelEntry, error: Exception) -> DownloadFailed:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return _failed(
                entry,
                _("the certificate of {endpoint} is not trusted").format(
                    endpoint=self._settings.endpoint
                ),
                _("Behind a company's proxy, set FIRESIDE_HUB__CA_FILE to its certificates."),
            )
        return _failed(
            entry,
            _("{endpoint} cannot be reached, or the connection broke").format(
                endpoint=self._settings.endpoint
            ),
            _("Check the network (HTTPS_PROXY is honoured) and run the command again: it resumes."),
        )

    def _on_disk(self, entry: ModelEntry, error: OSError) -> DownloadFailed:
        if isinstance(error, ConnectionError):
            return self._unreachable(entry, error)
        if error.errno in (ENOSPC, EDQUOT):
            return _failed(
                entry, _("the disk is full"), _("Make room and run the command again: it resumes.")
            )
        if error.errno in (EACCES, EPERM, EROFS):
            return _failed(
                entry,
                _("the models' folder cannot be written"),
                _("Check its permissions, or set FIRESIDE_MODELS_DIR."),
            )
        return _failed(entry, error.strerror or type(error).__name__, _("Try again."))


class HubSession:
    """One connection to the hub; `endpoint` is its address."""

    def __init__(self, endpoint: str, token: str | None) -> None:
        # Imported here: see `Hub.session`.
        from huggingface_hub import HfApi

        self._endpoint = endpoint
        self._token = token
        # False, not None: None would look for a token that other programs saved.
        self._api = HfApi(endpoint=endpoint, token=token or False, library_name="fireside")

    def model(self, entry: ModelEntry) -> RemoteModel:
        """What the hub has of a model now, at the commit that its revision names."""
        repository = str(entry.repository)
        info = self._api.model_info(
            repository, revision=entry.revision, files_metadata=True, timeout=TIMEOUT_S
        )
        siblings = [remote_file(sibling) for sibling in info.siblings or []]
        files = belonging(siblings, entry.file)
        if not files and entry.file is not None:
            raise _failed(
                entry,
                _("{repository} has no file {file}").format(repository=repository, file=entry.file),
                _("Correct it in fireside.toml."),
            )
        if not files:
            raise _failed(
                entry,
                _("{repository} has no weights that can be used").format(repository=repository),
                _(
                    "Fireside loads safetensors in the format of transformers; of a repository "
                    'with GGUF files name one: file = "x.gguf".'
                ),
            )
        return RemoteModel(repository, str(info.sha), tuple(files))

    def download(
        self, model: RemoteModel, file: RemoteFile, path: Path, received: Callable[[int], None]
    ) -> None:
        """Bring a file to `path`, going on from `path` + ".part" if an earlier pull left one.

        `received` is called with how many bytes came (or were found). Not verified here.
        """
        import httpx2  # with huggingface_hub, see `Hub.session`

        part = path.with_name(f"{path.name}.part")
        if part.exists() and part.stat().st_size > file.size_bytes:
            part.unlink()
        received(part.stat().st_size if part.exists() else 0)
        for retries_left in reversed(range(MAX_RETRIES + 1)):
            before = part.stat().st_size if part.exists() else 0
            try:
                self._transfer(model, file, part, received)
                break
            except httpx2.TransportError:
                if not retries_left or part.stat().st_size <= before:
                    raise
        part.replace(path)

    def _transfer(
        self, model: RemoteModel, file: RemoteFile, part: Path, received: Callable[[int], None]
    ) -> None:
        from huggingface_hub import get_session, hf_hub_url
        from huggingface_hub.utils import hf_raise_for_status

        with part.open("ab") as opened:
            begun = opened.tell()
            if begun == file.size_bytes:
                return
            url = hf_hub_url(
                model.repository, file.name, revision=model.commit, endpoint=self._endpoint
            )
            # Compressed, a transfer could not be taken up in the middle.
            headers = {"User-Agent": "fireside", "Accept-Encoding": "identity"}
            headers |= {"Authorization": f"Bearer {self._token}"} if self._token else {}
            headers |= {"Range": f"bytes={begun}-"} if begun else {}
            with get_session().stream("GET", url, headers=headers) as response:
                hf_raise_for_status(response)
                if begun and response.status_code != 206:
                    opened.truncate(0)
                    received(-begun)
                for chunk in response.iter_bytes():
                    opened.write(chunk)
                    received(len(chunk))
                    if opened.tell() > file.size_bytes:
                        # More than was announced: the check of the file tells, the disk stays free.
                        return


def _failed(entry: ModelEntry, problem: str, advice: str) -> DownloadFailed:
    text = _("{name} was not downloaded: {problem}. {advice}")
    return DownloadFailed(text.format(name=entry.name, problem=problem, advice=advice))
