"""Robots as content: description, limits and kinematics.

A robot is ``robots/<name>/robot.yaml`` with a URDF beside it. Knows errors,
content, config and types; no simulator and no transport.
"""
