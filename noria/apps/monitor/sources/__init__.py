"""Sources of opinion monitoring: feeds, articles, files that grow and mailboxes -> one durable inbox -> the monitor."""
