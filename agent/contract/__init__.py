"""The contract between a plant's sources and the models that read them: what was agreed, and what
is different now.
"""
