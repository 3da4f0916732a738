"""The Open Inference Protocol v2 over gRPC, in the process and event loop of the HTTP gateway and through the same core.

Nothing here decides anything about a prediction: messages are turned into what the core takes, and its answers into messages.
grpc and protobuf are imported when the listener starts, not with the gateway.
"""
