"""Triangulation compiled for the CPU: C++ behind plain C functions, built where it is used."""
