"""HTTP: application, routes, keys, limits, health."""
