"""Images and their records: listing sources, reading pixels, and saying why an image could not be used."""
