"""A gift shop: prices orders and estimates delivery."""
