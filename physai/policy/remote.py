"""A policy that runs in another process and is asked over a websocket.

One request at a time: ``{"id": 7, "observation": [...]}`` is answered by
``{"id": 7, "action": [...]}``; ``{"reset": true}`` by ``{"reset": true}``. Without an
answer in time the action is NaN, which the guard turns into a stop; a late answer is
thrown away by its id, never used for a later step.
"""

from __future__ import annotations

import contextlib
import json
from time import perf_counter
from typing import Any

import numpy as np

from physai.errors import ContractError, LinkError
from physai.policy.policy import FloatArray

__all__ = ["RemotePolicy", "serve_policy"]

_LIMIT_BYTES = 2**20


class RemotePolicy:
    """A policy behind ``ws://`` or ``wss://``.

    Args:
        url: Where it listens.
        deadline_s: How long an answer may take [s].
        action_size: Entries of the action; None asks with the first answer.
        connect_s: How long connecting may take [s].

    Raises:
        LinkError: If nobody listens there.
    """

    def __init__(
        self,
        url: str,
        deadline_s: float = 0.03,
        action_size: int | None = None,
        connect_s: float = 5.0,
    ) -> None:
        from websockets.exceptions import InvalidHandshake, InvalidURI
        from websockets.sync.client import connect

        self.url = url
        self.deadline_s = deadline_s
        self.late = 0
        self._connect_s = connect_s
        self._size = action_size
        self._sequence = 0
        try:
            self._socket: Any = connect(
                url,
                open_timeout=connect_s,
                close_timeout=1.0,
                max_size=_LIMIT_BYTES,
                compression=None,
                proxy=None,
            )
        except InvalidURI:
            raise LinkError(f"{url}: is not the address of a websocket") from None
        except (OSError, InvalidHandshake, TimeoutError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise LinkError(
                f"{url}: no policy server can be reached there ({reason})"
            ) from None

    def reset(self) -> None:
        """Tell the server that an episode begins.

        Raises:
            LinkError: If it does not answer.
        """
        self._sequence += 1
        question = {"id": self._sequence, "reset": True}
        if self._ask(question, self._connect_s) is None:
            raise LinkError(f"{self.url}: the policy server does not answer")

    def act(self, observation: FloatArray) -> FloatArray:
        """Ask for the action.

        Returns:
            (a,) float32; NaN if no answer came in time.

        Raises:
            LinkError: If the connection is lost.
            ContractError: If the server refuses, or the answer is not an action.
        """
        self._sequence += 1
        question = {"id": self._sequence, "observation": observation.tolist()}
        answer = self._ask(question, self.deadline_s)
        if answer is None:
            self.late += 1
            if self._size is None:
                raise LinkError(f"{self.url}: the policy server does not answer")
            return np.full(self._size, np.nan, dtype=np.float32)
        if "error" in answer:
            raise ContractError(f"{self.url}: {str(answer['error'])[:200]}")
        try:
            action = np.asarray(answer["action"], dtype=np.float32)
        except (KeyError, TypeError, ValueError):
            raise ContractError(f"{self.url}: the answer holds no action") from None
        if self._size is None:
            self._size = action.size
        return action

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _ask(self, question: dict[str, Any], wait_s: float) -> dict[str, Any] | None:
        from websockets.exceptions import ConnectionClosed

        end = perf_counter() + wait_s
        try:
            self._socket.send(json.dumps(question))
            while True:
                left = end - perf_counter()
                if left <= 0:
                    return None
                answer = json.loads(self._socket.recv(timeout=left))
                if isinstance(answer, dict) and answer.get("id") == question["id"]:
                    return answer
        except TimeoutError:
            return None
        except ValueError:
            raise ContractError(f"{self.url}: the answer is not JSON") from None
        except (ConnectionClosed, OSError):
            raise LinkError(
                f"{self.url}: the connection to the policy server was lost"
            ) from None


def serve_policy(policy: Any, host: str = "127.0.0.1", port: int = 0) -> Any:
    """Make a server for :class:`RemotePolicy`; run it with ``serve_forever()``.

    A host other than the loopback carries neither encryption nor a password here: put
    a proxy that does in front of it.

    Args:
        policy: The policy; asked by one client at a time.
        host: Where to listen.
        port: 0 takes a free one; see ``server.socket.getsockname()``.
    """
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.server import serve

    def handle(socket: Any) -> None:
        with contextlib.suppress(ConnectionClosed):
            for message in socket:
                socket.send(json.dumps(_answer(policy, message)))

    return serve(handle, host, port, max_size=_LIMIT_BYTES, compression=None)


def _answer(policy: Any, message: str | bytes) -> dict[str, Any]:
    try:
        question = json.loads(message)
        answer = {"id": question["id"]}
        if question.get("reset"):
            policy.reset()
            return {**answer, "reset": True}
        observation = np.asarray(question["observation"], dtype=np.float32)
    except (ValueError, KeyError, TypeError):
        return {"id": None, "error": "the question is malformed"}
    try:
        return {**answer, "action": np.asarray(policy.act(observation)).tolist()}
    except Exception as error:  # the client is told and decides
        return {**answer, "error": f"{type(error).__name__}: {error}"}
