"""The product: composes hardware profiles, search, export and audit into one flow."""
