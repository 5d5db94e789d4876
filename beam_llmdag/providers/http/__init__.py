"""What the providers that speak HTTP share."""
