"""HTTP: app, routes, keys, limits, guard, health."""
