"""Where things are kept: the ledger (SQL), the spool (segment files of the request log) and the lake (Delta tables).

It decides nothing. Actions, controller and gateway call it; the gateway uses ledger and spool only.
"""
