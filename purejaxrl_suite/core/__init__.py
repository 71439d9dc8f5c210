"""Types, functions on pytrees and contract checks. Imports no other part of the package."""
