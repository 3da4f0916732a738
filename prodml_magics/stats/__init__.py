"""Statistics as functions of arrays to arrays, in numpy and, where a GPU is at hand, in JAX.

Nothing here reads files, draws, logs or knows a model; frames exist only as the `.frame` of a result.
`actions` call it with what the lake and the registry hold, and people call it with arrays of their own.
"""
