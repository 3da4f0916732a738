"""One verb per module: ``(Workspace, Request) -> Result``; the only place where rooms are joined.

It parses nothing that a person typed and draws nothing. Magics, CLI, Lab, Python functions and the controller call it.
"""
