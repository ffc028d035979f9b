"""Servers, checks and raw requests that the tests share. Standard library only."""
