"""Cameras, rigs and triangulation."""
