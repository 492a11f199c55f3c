"""Bijections of reals with their log-determinants."""
