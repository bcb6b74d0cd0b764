"""The channels of a TOML file: a section each, with its kind, and the names of the environment variables that hold its secrets.

[shop]
kind = "webhook"
secret_env = "SHOP_SECRET"
url = "https://shop.example/replies"

[team]
kind = "slack"
signing_secret_env = "SLACK_SIGNING_SECRET"
token_env = "SLACK_BOT_TOKEN"
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from noria.core.errors import SettingError, unknown
from noria.core.messages import message
from noria.core.settings import Settings, read_toml
from noria.server.addresses import check_url
from noria.server.webhook import Variable

Identity = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[!-~]+$")]
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class ChannelSettings(Settings):
    """What every channel has."""

    messages_minute: Annotated[int, Field(ge=1, le=10_000)] = 60
    """Messages a minute of one customer."""
    connect_seconds: Annotated[float, Field(gt=0, le=60)] = 3.0
    """Seconds to find and connect to the other side."""
    read_seconds: Annotated[float, Field(gt=0, le=60)] = 8.0
    """Seconds for the whole of its answer."""
    allow_private: bool = False
    """Allow http and addresses of one's own network: those that are private, loopback or link-local."""


class WebhookChannel(ChannelSettings):
    """A program of one's own: signed webhooks in and out."""

    kind: Literal["webhook"] = "webhook"
    secret_env: Variable
    """Environment variable of the secret that signs what comes in and what goes out."""
    url: str
    """Where replies are posted."""


class SlackChannel(ChannelSettings):
    """An app of Slack: its Events API and chat.postMessage."""

    kind: Literal["slack"] = "slack"
    signing_secret_env: Variable
    """Environment variable of the app's signing secret."""
    token_env: Variable
    """Environment variable of the bot's token, xoxb-..."""
    url: str = "https://slack.com/api"
    """Address of Slack's API."""


class FeishuChannel(ChannelSettings):
    """An app of Feishu or Lark with a bot: event subscription and messages."""

    kind: Literal["feishu"] = "feishu"
    app_id: Identity
    """The app's id, cli_..."""
    app_secret_env: Variable
    """Environment variable of the app's secret."""
    token_env: Variable
    """Environment variable of the verification token."""
    encrypt_env: Variable | None = None
    """Environment variable of the encrypt key: what comes is then encrypted and signed. Without it the token alone tells who sent it."""
    url: str = "https://open.feishu.cn"
    """Address of its API; https://open.larksuite.com for Lark."""


class DingTalkChannel(ChannelSettings):
    """A robot of DingTalk: its outgoing messages and their session webhook."""

    kind: Literal["dingtalk"] = "dingtalk"
    secret_env: Variable
    """Environment variable of the robot's app secret."""
    url: str = "https://oapi.dingtalk.com"
    """Address that session webhooks must have; replies go nowhere else."""


class WeComChannel(ChannelSettings):
    """An app of WeCom: its encrypted callbacks and messages to its members."""

    kind: Literal["wecom"] = "wecom"
    corp_id: Identity
    """The company's id, ww..."""
    agent_id: int
    """The app's AgentId."""
    secret_env: Variable
    """Environment variable of the app's secret."""
    token_env: Variable
    """Environment variable of the callback's token."""
    aes_key_env: Variable
    """Environment variable of the callback's EncodingAESKey, 43 characters."""
    url: str = "https://qyapi.weixin.qq.com"
    """Address of its API."""


AnyChannel = WebhookChannel | SlackChannel | FeishuChannel | DingTalkChannel | WeComChannel
KINDS: dict[str, type[AnyChannel]] = {
    "webhook": WebhookChannel,
    "slack": SlackChannel,
    "feishu": FeishuChannel,
    "dingtalk": DingTalkChannel,
    "wecom": WeComChannel,
}


def read_channels(path: str | Path) -> dict[str, AnyChannel]:
    """Return the channels of a TOML file by their names.

    Raises:
        InputError: the file is missing or is not TOML.
        SettingError: a name, a kind or a key is unknown, or a value is not allowed; says of which channel.
    """
    found: dict[str, AnyChannel] = {}
    for name, values in read_toml(path).items():
        if not _NAME.fullmatch(name) or not isinstance(values, dict):
            raise SettingError(message("channels.name"), found=name, allowed=_NAME.pattern)
        try:
            found[name] = _channel(values)
        except SettingError as error:
            what = message("channels.of_section", path=path, section=name, what=error.what)
            raise SettingError(what, found=error.found, allowed=error.allowed, hint=error.hint) from None
    return found


def _channel(values: dict[str, Any]) -> AnyChannel:
    kind = str(values.get("kind", ""))
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    made = KINDS[kind].make(**values)
    check_url(made.url, made.allow_private)
    return made
