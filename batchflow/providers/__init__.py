"""Adapters to batch APIs: what the engine may ask of one, and how answers are read without trusting them."""
