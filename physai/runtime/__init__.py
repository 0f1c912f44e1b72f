"""Running: the control loop, sessions on robots, the virtual robot, the watchdog.

Imports tasks, policy, safety and plant; evaluation and training stand above it.
"""
