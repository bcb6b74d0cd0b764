"""HTTP: app, routes, keys, limits, health."""
