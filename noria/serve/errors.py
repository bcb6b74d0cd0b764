"""What goes wrong in a request, in the shape that OpenAI's clients read.

{"error": {"message": "unknown model: found 'x'; allowed a, b", "type": "invalid_request_error", "param": "model",
           "code": "model_not_found"}}
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from noria.core.errors import NoriaError, UserError


class ApiError(UserError):
    """An answer that is an error: its HTTP status, the field at fault and a code that programs can tell it by.

    422 means that a field breaks what the OpenAPI document says of it; 400 that fields are right one by one and still cannot
    be used.
    """

    def __init__(
        self,
        status: int,
        what: str,
        *,
        param: str | None = None,
        code: str | None = None,
        found: object = None,
        allowed: str | Iterable[str] | None = None,
        hint: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        self.status, self.param, self.code, self.retry_after = status, param, code, retry_after
        super().__init__(what, found=found, allowed=allowed, hint=hint)

    def headers(self) -> dict[str, str]:
        """Return the headers that go with the error."""
        headers = {}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return headers


_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def body_of(status: int, message: str, *, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Return an error's body."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def api_error(error: NoriaError) -> ApiError:
    """Return the answer that an error raised below the server becomes."""
    from noria.core.errors import InputError, SettingError
    from noria.infer.replies import Busy, Unavailable

    if isinstance(error, ApiError):
        return error
    if isinstance(error, Busy):
        return ApiError(429, str(error), code="queue_full", retry_after=error.retry_after)
    if isinstance(error, Unavailable):
        return ApiError(503, str(error), code="model_unavailable", retry_after=error.retry_after)
    if isinstance(error, InputError | SettingError):
        return ApiError(400, str(error), param=getattr(error, "field", None), code="cannot_be_used")
    return ApiError(503, str(error), code="unavailable", retry_after=5)
