"""Factors, conditions, assignment: what every row is asked under. Pure; reads nothing."""
