"""Template and rows to request bodies: compiled once into constant bytes and slots, filled column by column."""
