"""Figures that documents quote, each measured with the floor and the peers in one run."""
