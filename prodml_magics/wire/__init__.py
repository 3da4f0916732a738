"""Frozen records that cross a process: requests, routes, events, runtime, status.

Nothing here acts; whoever reads a file, a socket or a command line gets these shapes. The JSON schema, the argument
parsers of magics and CLI, and ``extension/src/wire.ts`` derive from them.
"""
