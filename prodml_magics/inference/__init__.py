"""ONNX files: whether they are safe, whether they run, and sessions that answer.

The only room with onnxruntime. It never knows a model's name, columns or version: bytes and tensors come in, tensors go
out. Registry gates and smoke-runs a file with it before the file is kept; the gateway opens sessions with it.
"""
