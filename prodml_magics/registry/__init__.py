"""From a fitted model to a version in MLflow: conversion, proof of parity, metrics, lineage, artifacts.

It is the only room that calls scikit-learn, skl2onnx and MLflow, and it never serves a request or decides what is live.
Actions call `build.build` and `store.Registry`; both keep to the rule that a model is exact or refused.
"""
