"""Judges what production did: shadow against live, windows against the profile.

It takes frames and profiles as values and fetches nothing. Actions call it.
"""
