"""Doors that other programs open: what MLflow finds by its entry points.

A plugin turns the words of its host into a request and the result into its host's form; it decides nothing. Beside `registry` it
alone imports mlflow.
"""
