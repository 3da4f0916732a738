"""The schema of what a model takes and gives, and the pure functions that check, encode and compare by it.

It never reads files or frames beyond arrays. Registry writes contracts, the gateway enforces them, monitoring reads
columns by them.
"""
