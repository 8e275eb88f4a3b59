"""Small services with one seeded production bug each, and healthy ones: the whole loop runs over them unattended."""
