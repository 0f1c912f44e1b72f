"""What is to be done: tasks, the one order of a step, and the environments.

Importing this package imports nothing heavy; ``import physai`` goes through it.
"""
