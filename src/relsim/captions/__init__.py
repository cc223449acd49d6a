"""Anonymous captions: sentences that state a picture's logic and leave out what it shows."""
