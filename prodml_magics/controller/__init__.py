"""The controller: a door whose user is the clock. It drains the request log, advances rollouts and
mirrors aliases, and answers over loopback.

It is a process of its own, niced, so that nothing it does delays a prediction. Actions ask it to drain.
"""
