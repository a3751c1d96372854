"""Adapters to stores: the results database, a product of the runs' folders."""
