"""The gateway: answers predictions over HTTP, logs every one before its reply leaves, mirrors traffic to shadows.

It knows nothing of MLflow, frames or Delta tables: the ledger tells the routes, local files hold the models. Programs of users
call it over the Open Inference Protocol; actions call its ``/admin``.
"""
