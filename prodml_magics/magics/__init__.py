"""The notebook's door: line magics, one per verb, and ``%prodml VERB`` for all of them.

A magic parses to a request, calls the action and returns an object that shows itself; it decides nothing.
"""
