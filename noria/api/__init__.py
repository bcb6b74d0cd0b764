"""The Python API: one function for each command, its settings as keyword arguments, its result a typed object.

What `import noria` gives by name is loaded from a module here when it is first asked for; commands, `noria run`, the demo and
the console call the same functions.
"""
