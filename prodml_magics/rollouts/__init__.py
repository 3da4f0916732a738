"""How a route changes: pure functions from a route to the next one.

It loads nothing, asks nobody and keeps no time. Actions put its routes in force.
"""
