"""A client of `plm serve`, with nothing but the standard library.

client = Client("http://127.0.0.1:8000")
client.classify(["a good day", "a bad day"])         # [{"label": "positive", "score": 0.98}, ...]
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plm.errors import ConfigError
from plm.serving.errors import ServiceError

Text = str | tuple[str, str]

# Seconds to wait where a service is overloaded and does not say how long.
_WAIT = 1.0


class Client:
    """Asks a service. May be used by several threads; each call opens its own connection.

    url: of the service, as http://127.0.0.1:8000. token: if it wants one. timeout: seconds until an answer, or a piece
    of one, is given up. retries: times that a call waits and asks again when the service is overloaded.
    Methods raise ServiceError with the service's own message; its `kind` is "unreachable" when no answer came at all.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 120.0, retries: int = 3) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"url: expected one as http://127.0.0.1:8000, got {url!r:.200}")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._base = parts.path.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout, self._retries = timeout, retries

    def models(self) -> list[dict[str, Any]]:
        """[{"name", "abilities", "family", "parameters", "max_tokens", "mask_token"}, ...]"""
        return list(self._get("/v1/models")["models"])

    def is_ready(self) -> bool:
        """True when the models are loaded; False while they are not, or nobody answers."""
        try:
            self._get("/ready")
        except ServiceError:
            return False
        return True

    def classify(
        self, texts: Text | Sequence[Text], *, model: str | None = None, truncate: bool = False, scores: bool = False
    ) -> list[dict[str, Any]]:
        """A class for each text, or pair of texts as a tuple.

        truncate: True = cut those that are too long. scores: True = tell the probabilities of all classes, too.
        """
        return self._answers("classify", _passages(texts), model, {"truncate": truncate, "scores": scores})

    def embed(
        self, texts: Text | Sequence[Text], *, model: str | None = None, truncate: bool = False, normalize: bool = False
    ) -> list[list[float]]:
        """A vector for each text or pair; normalize: True = of length 1."""
        return self._answers("embed", _passages(texts), model, {"truncate": truncate, "normalize": normalize})

    def tag(self, texts: str | Sequence[str | list[str]], *, model: str | None = None) -> list[Any]:
        """The entities of each text; tags for a list of words."""
        return self._answers("tag", texts if isinstance(texts, str) else list(texts), model, {})

    def answer(
        self, questions: Mapping[str, str] | Sequence[Mapping[str, str]], *, model: str | None = None
    ) -> list[dict[str, Any]]:
        """The words that answer each {"question", "context"}."""
        listed = [questions] if isinstance(questions, Mapping) else questions
        return self._answers("answer", [dict(one) for one in listed], model, {})

    def fill_mask(
        self, texts: str | Sequence[str], *, model: str | None = None, top_k: int = 5
    ) -> list[list[list[dict[str, Any]]]]:
        """For each text, for each of its masks, [{"token", "score"}, ...]."""
        return self._answers("fill-mask", texts if isinstance(texts, str) else list(texts), model, {"top_k": top_k})

    def generate(
        self, prompts: str | Sequence[str], *, model: str | None = None, options: Mapping[str, Any] | None = None
    ) -> list[list[dict[str, Any]]]:
        """For each prompt its texts, [{"text", "score", "ending"}, ...].

        options: fields of GenerationConfig, as {"max_new_tokens": 40, "temperature": 0.8}.
        """
        return self._answers("generate", prompts if isinstance(prompts, str) else list(prompts), model, options or {})

    def stream(
        self, prompt: str, *, model: str | None = None, options: Mapping[str, Any] | None = None
    ) -> Iterator[str]:
        """The text that goes on with a prompt, in pieces; who stops iterating stops the service's work, too."""
        body = _named(model) | {"inputs": prompt, "stream": True} | dict(options or {})
        connection, response = self._send("POST", "/v1/generate", body)
        try:
            for data in _events(response):
                if data == "[DONE]":
                    return
                told = json.loads(data)
                if "error" in told:
                    raise ServiceError(told["error"]["type"], told["error"]["message"], status=response.status)
                yield told["text"]
            raise ServiceError("unreachable", "the service closed the connection in the middle of a text", status=0)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()

    def poem(self, *, model: str | None = None, wishes: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Poems. wishes: as {"mode": "acrostic", "form": "七绝", "text": "人工智能"}."""
        return list(self._post("/v1/poem", _named(model) | dict(wishes or {}))["poems"])

    def reload(self) -> list[str]:
        """Let the service read its models again. Returns their names."""
        return list(self._post("/v1/reload", {})["models"])

    def _answers(self, ability: str, inputs: Any, model: str | None, options: Mapping[str, Any]) -> list[Any]:
        return list(self._post(f"/v1/{ability}", _named(model) | {"inputs": inputs} | dict(options))["answers"])

    def _get(self, path: str) -> dict[str, Any]:
        return self._json("GET", path, None)

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._json("POST", path, body)

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        connection, response = self._send(method, path, body)
        try:
            answer: dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()
        return answer

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """An answer that is none of an error; what is overloaded is asked again."""
        data = None if body is None else json.dumps(body).encode()
        for left in range(self._retries, -1, -1):
            connection = self._connection()
            try:
                connection.request(method, self._base + path, data, self._headers)
                response = connection.getresponse()
                if response.status < 400:
                    return connection, response
                error = _error(response)
            except (OSError, http.client.HTTPException) as cause:
                connection.close()
                raise self._unreachable(cause) from cause
            connection.close()
            if error.status != 429 or not left:
                raise error
            time.sleep(_WAIT if error.retry_after is None else error.retry_after)
        raise AssertionError("the last try returns or raises")

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self._timeout)

    def _unreachable(self, error: Exception) -> ServiceError:
        where = f"{self._host}:{self._port}" if self._port else self._host
        return ServiceError("unreachable", f"no answer from the service at {where}: {error}", status=0)


def _named(model: str | None) -> dict[str, Any]:
    return {} if model is None else {"model": model}


def _passages(texts: Text | Sequence[Text]) -> list[Any]:
    listed = [texts] if isinstance(texts, str | tuple) else texts
    return [text if isinstance(text, str) else {"text": text[0], "pair": text[1]} for text in listed]


def _events(response: http.client.HTTPResponse) -> Iterator[str]:
    """The data of server-sent events, as this service sends them: one line each."""
    for line in response:
        if line.startswith(b"data: "):
            yield line[len(b"data: ") :].decode().rstrip("\n")


def _error(response: http.client.HTTPResponse) -> ServiceError:
    """What the service says, or, where something between answers, the status."""
    wait = response.getheader("Retry-After", "")
    retry_after = float(wait) if wait.isdecimal() else None
    try:
        told = json.loads(response.read())["error"]
        kind, message = str(told["type"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        kind, message = "unknown", f"HTTP status {response.status} {response.reason}"
    return ServiceError(kind, message, status=response.status, retry_after=retry_after)
