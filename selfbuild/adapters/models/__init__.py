"""Language models of several providers, one module each.

Importing a provider's module loads its SDK, which costs about a second and 75 MB: only the providers that are asked are
imported, and only by workers that ask them.
"""
