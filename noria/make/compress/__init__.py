"""A trained model, smaller and faster, with a certificate."""
