"""The vocabulary (types), functions on trees, contract checks. Imports nothing of the package."""
