"""Detections and true emitters paired in one call, at the tolerances of the 2016 challenge."""

from smlmbench.metrics.matching import assign, near_pairs


def match(found, truth, *, lateral_nm=250.0, axial_nm=500.0, three_d=False, matcher="greedy"):
    return assign(near_pairs(found, truth, lateral_nm=lateral_nm, axial_nm=axial_nm, three_d=three_d), matcher)
