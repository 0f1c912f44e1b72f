"""The thing under control together with its surroundings: robot, objects, people.

Simulated in Bullet or MuJoCo, real over rosbridge, or replayed from a log; task, guard,
policy and loop do not know which. Imports body, robot and record, nothing above.
"""
