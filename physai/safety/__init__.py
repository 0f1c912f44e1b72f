"""One definition of "safe": cost, guard, scorer and evidence.

A specification (YAML) is compiled once into one object with one digest. Knows the
body, the robot and the plant's vocabulary; never the policy or the task. This is
not a rated safety function.
"""

from physai.safety.guard import Guard
from physai.safety.monitor import Monitor
from physai.safety.spec import CompiledSpec, compile_spec, load_spec

__all__ = ["CompiledSpec", "Guard", "Monitor", "compile_spec", "load_spec"]
