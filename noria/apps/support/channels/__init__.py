"""Where customers write besides the API and the widget: signed webhooks in and out, Slack, Feishu, DingTalk, WeCom."""
