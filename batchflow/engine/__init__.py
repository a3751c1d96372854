"""Carries a plan through its steps: decides in one thread, talks to the provider in a few, survives being killed."""
