"""The terminal's door: ``prodml VERB …`` with the same verbs and flags; objects are paths.

It parses to a request, calls the action and prints; exit codes are 0 done, 1 refused or failed, 2 wrong usage, 3 a gate said no.
"""
