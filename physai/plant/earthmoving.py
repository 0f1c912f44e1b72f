"""Force of soil on a blade: the fundamental earth-moving equation, compiled.

After Reece 1965 and McKyes 1985. A wedge of soil slides up a plane at the angle beta
before a flat tool; equilibrium across the plane's reaction gives, for a tool of width
w at depth d, rake rho, soil of unit weight g, cohesion c, inner friction phi, friction
on the tool delta, adhesion ca, surcharge q, speed v::

    F = w (g d^2 Ng + c d Nc + q d Nq + ca d Na + g/9.81 v^2 d Nv)
    D  = cos(rho + delta) + sin(rho + delta) cot(beta + phi)
    Ng = (cot rho + cot beta) / (2 D)          Nc = (1 + cot beta cot(beta + phi)) / D
    Nq = (cot rho + cot beta) / D              Na = (1 - cot rho cot(beta + phi)) / D
    Nv = (tan beta + cot(beta + phi)) / (D (1 + tan beta cot rho))
    H = F sin(rho + delta) + ca d cot(rho) w   against the travel
    V = F cos(rho + delta) - ca d w            into the ground where positive

beta minimises Ng. On ground that rises by alpha ahead, rho, beta and d are measured
from the surface, and what has weight (Ng, Nq) is multiplied by
sin(beta + phi + alpha) / sin(beta + phi): the vertical weight, resolved in the
surface's frame, in the same equilibrium.

The minimum is found anew in every call (golden section, about a microsecond), so
soil, slope and rake may change freely and no table has to be kept.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from physai.errors import ContractError
from physai.types import Array

__all__ = [
    "COEFFICIENTS",
    "bearing_factors",
    "blade_coefficients",
    "blade_force",
    "critical_height",
]

(N_BETA, N_G, N_C, N_Q, N_A, N_V) = range(6)
COEFFICIENTS = 6
"""Length of the row that :func:`blade_coefficients` writes: beta, Ng, Nc, Nq, Na, Nv."""

GRAVITY = 9.81
_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)
_BETA_MIN = math.radians(5.0)
_BETA_MAX = math.radians(85.0)
_ROOM = math.radians(0.5)
RAKE_MIN = math.radians(15.0)
"""Flatter blades than this are treated as this flat (cot rho grows without bound)."""
RAKE_MAX = math.radians(90.0)
"""Beyond upright a wedge of soil rests on the face and takes the blade's place."""
_SLOPE_MAX = math.radians(40.0)


@numba.njit(cache=True)
def _weight_term(
    beta: float, rake: float, phi: float, delta: float, slope: float
) -> float:
    """Ng of a plane at beta (see the module)."""
    return (
        0.5
        * (1.0 / math.tan(rake) + 1.0 / math.tan(beta))
        * math.sin(beta + phi + slope)
        / math.sin(rake + delta + beta + phi)
    )


@numba.njit(cache=True)
def blade_coefficients(
    rake: float, friction: float, metal_friction: float, slope: float, out: Array
) -> None:
    """Write beta [rad] and Ng, Nc, Nq, Na, Nv of the module's equation.

    Args:
        rake: rho, between the blade's face and the surface [rad]; held to 15..90 deg.
        friction: phi, inner friction of the soil [rad].
        metal_friction: delta, friction on the blade's face [rad].
        slope: alpha, rise of the surface ahead [rad]; held to -0.8 phi..40 deg (a
            steeper fall would slide by itself).
        out: (6,) the row.
    """
    phi, delta = friction, metal_friction
    rho = min(max(rake, RAKE_MIN), RAKE_MAX)
    alpha = min(max(slope, -0.8 * phi), _SLOPE_MAX)
    low = _BETA_MIN
    high = min(_BETA_MAX, math.pi - phi - max(0.0, rho + delta) - _ROOM)
    high = max(high, low)
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    fa = _weight_term(a, rho, phi, delta, alpha)
    fb = _weight_term(b, rho, phi, delta, alpha)
    while high - low > 2e-4:
        if fa < fb:
            high, b, fb = b, a, fa
            a = high - _GOLDEN * (high - low)
            fa = _weight_term(a, rho, phi, delta, alpha)
        else:
            low, a, fa = a, b, fb
            b = low + _GOLDEN * (high - low)
            fb = _weight_term(b, rho, phi, delta, alpha)
    beta = 0.5 * (low + high)
    cot_rho, cot_beta = 1.0 / math.tan(rho), 1.0 / math.tan(beta)
    cot_plane = 1.0 / math.tan(beta + phi)
    D = math.cos(rho + delta) + math.sin(rho + delta) * cot_plane
    tilt = math.sin(beta + phi + alpha) / math.sin(beta + phi)
    out[N_BETA] = beta
    out[N_G] = 0.5 * (cot_rho + cot_beta) / D * tilt
    out[N_C] = (1.0 + cot_beta * cot_plane) / D
    out[N_Q] = (cot_rho + cot_beta) / D * tilt
    out[N_A] = (1.0 - cot_rho * cot_plane) / D
    out[N_V] = (math.tan(beta) + cot_plane) / (D * (1.0 + math.tan(beta) * cot_rho))


def blade_force(
    width_m: float,
    depth_m: float,
    rake_rad: float,
    *,
    unit_weight_n_m3: float,
    cohesion_pa: float,
    friction_rad: float,
    metal_friction_rad: float,
    adhesion_pa: float = 0.0,
    surcharge_pa: float = 0.0,
    speed_m_s: float = 0.0,
    slope_rad: float = 0.0,
) -> tuple[float, float, float]:
    """Return F, H (against the travel) and V (into the ground) in newtons.

    The module's equation for one blade in even ground of one layer.

    Raises:
        ContractError: If width or depth is negative, or an angle is outside of what
            the equation can describe.
    """
    if not (width_m >= 0.0 and depth_m >= 0.0):
        raise ContractError("width and depth of a blade must not be negative")
    if not (0.0 < rake_rad <= RAKE_MAX and 0.0 <= metal_friction_rad <= friction_rad):
        raise ContractError(
            "a blade's rake must be in (0, 90] deg and soil friction at least delta"
        )
    if not rake_rad + metal_friction_rad + friction_rad < math.radians(174.0):
        raise ContractError("rake, delta and phi together must stay below 174 deg")
    n = np.empty(COEFFICIENTS)
    blade_coefficients(rake_rad, friction_rad, metal_friction_rad, slope_rad, n)
    rho = max(rake_rad, RAKE_MIN)
    d = depth_m
    force = width_m * (
        unit_weight_n_m3 * d * d * n[N_G]
        + cohesion_pa * d * n[N_C]
        + surcharge_pa * d * n[N_Q]
        + adhesion_pa * d * n[N_A]
        + unit_weight_n_m3 / GRAVITY * speed_m_s**2 * d * n[N_V]
    )
    stick = adhesion_pa * d * width_m
    push = force * math.sin(rho + metal_friction_rad) + stick / math.tan(rho)
    pull = force * math.cos(rho + metal_friction_rad) - stick
    return float(force), float(push), float(pull)


def bearing_factors(friction_rad: float) -> tuple[float, float, float]:
    """Return Nc', Nq', Ngamma' of a plate or lip pressed into soil.

    Nq' = exp(pi tan phi) tan^2(45 + phi/2) and Nc' = (Nq' - 1) cot phi (Prandtl 1921,
    Reissner 1924), 2 + pi at no friction; Ngamma' = 2 (Nq' + 1) tan phi (Vesic 1973).
    """
    t = math.tan(friction_rad)
    nq = math.exp(math.pi * t) * math.tan(0.25 * math.pi + 0.5 * friction_rad) ** 2
    nc = (nq - 1.0) / t if t > 1e-6 else 2.0 + math.pi
    return nc, nq, 2.0 * (nq + 1.0) * t


def critical_height(
    cohesion_pa: float, unit_weight_n_m3: float, friction_rad: float
) -> float:
    """Return the height up to which an upright face stands [m].

    4 c / g tan(45 deg + phi/2), the textbook limit of an unsupported cut.
    """
    return (
        4.0
        * cohesion_pa
        / unit_weight_n_m3
        * math.tan(0.25 * math.pi + 0.5 * friction_rad)
    )
