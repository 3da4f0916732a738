"""Where the services run: the local engine starts, supervises and stops gateway and controller on this machine.

It starts children by module name and imports none of them. Actions call it.
"""
