"""The drivers' own test suites, direct and through the proxy; see `__main__`."""
