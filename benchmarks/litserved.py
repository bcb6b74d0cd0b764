"""The classifier in LitServe's words: its model in a process of its own, which this class is sent to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import litserve

from .classifier import Model


class Api(litserve.LitAPI):  # type: ignore[misc]  # litserve has no types
    """The handler."""

    folder: str = ""
    file: str = "model.onnx"

    def setup(self, device: str) -> None:
        """Load the model."""
        self.model = Model(Path(self.folder), file=Path(self.folder) / self.file)

    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """Return the text of a request; LitServe reads types at run time, and takes none for JSON."""
        return str(request["input"])

    def predict(self, given: Any) -> Any:
        """Return the answer to a text, or to each of several."""
        return self.model(given) if isinstance(given, list) else self.model([given])[0]

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Return an answer as it is sent."""
        return output


def run(folder: Path, port: int, *, batched: bool, file: str = "model.onnx") -> None:
    """Serve until ended; `file` is told from the folder."""
    api = Api(max_batch_size=32, batch_timeout=0.002) if batched else Api()
    api.folder, api.file = str(folder), file
    server = litserve.LitServer(api, accelerator="cpu", fast_queue=batched)
    server.run(host="127.0.0.1", port=port, log_level="error", generate_client_file=False)
