"""Vendors' batch APIs: requests go in together, cost half, and are answered within a day."""
